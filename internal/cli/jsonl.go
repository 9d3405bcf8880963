package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/justrl/justrl/internal/atomicdir"
)

// maxLine bounds a line of a JSON Lines file: a rollout of 32k tokens with
// log-probs is about 1 MB.
const maxLine = 256 << 20

// eachLine decodes every line of a JSON Lines file and calls do with its
// number, from 1. Empty lines are passed over; fields that T lacks are
// ignored; a file without a line is an error.
func eachLine[T any](path string, do func(n int, v T) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	n, found := 0, false
	for lines.Scan() {
		line := lines.Bytes()
		if n++; n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // a byte order mark
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		found = true
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, explain(line, err))
		}
		if err := do(n, v); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", path, n+1, err)
	}
	if !found {
		return fmt.Errorf("%s: has no lines", path)
	}
	return nil
}

// numbers ends where a number begins: after a field's name, or within the list
// that is its value. 1 is the name, 2 the bracket of a list, 3 the sign.
var numbers = regexp.MustCompile(`"([^"\\]*)"\s*:\s*(?:(\[)[^"{}\]]*?)?(-?)$`)

// explain says in a user's words why a line was not decoded. Python writes NaN
// and Infinity into JSON, which has neither.
func explain(line []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		at := int(min(max(syntax.Offset-1, 0), int64(len(line))))
		for _, word := range []string{"NaN", "Infinity"} {
			if !bytes.HasPrefix(line[at:], []byte(word)) {
				continue
			}
			if m := numbers.FindSubmatch(line[:at]); m != nil && len(m[2]) > 0 {
				return fmt.Errorf("%s has %s%s among its numbers: all must be finite", m[1], m[3], word)
			} else if m != nil {
				return fmt.Errorf("%s is %s%s: it must be a finite number", m[1], m[3], word)
			}
			return fmt.Errorf("%s at byte %d is no number of JSON", word, at+1)
		}
		return fmt.Errorf("not JSON: %w", err)
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("must be a JSON object, is %s", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("%s must be %s, is %s", kind.Field, kind.Type, kind.Value)
	}
	return err
}

// writeFile fills a file through a temporary sibling: path either keeps what
// it had or holds all of the new.
//
// A link is followed. What is no regular file (a pipe, /dev/stdout) cannot be
// replaced, and is written to.
func writeFile(path string, fill func(w io.Writer) error) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		return writeTo(path, fill)
	}
	return atomicdir.ReplaceFile(path, fill)
}

func writeTo(path string, fill func(w io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	if err := fill(w); err != nil {
		return err
	}
	return w.Flush()
}

// jsonLines is an encoder of one object a line, with < and > as they are.
func jsonLines(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}
