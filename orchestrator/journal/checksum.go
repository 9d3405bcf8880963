package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A line of a partial file ends in its checksum, the last key of the object:
//
//	{"group":…,"weights_version":5,"crc32c":"1f2e3d4c"}
//
// It is the CRC-32C of the bytes before the comma of that key, in hex. Where the
// digits are takenBack instead, the rollout counts no more. Lines of builds that
// wrote none have no such key; they have no key either that this package does not
// know, so that one whose checksum's key is damaged is not taken for one of them.
const (
	crcKey    = `,"crc32c":"`
	crcEnd    = "\"}\n"
	crcDigits = 8
	crcLength = len(crcKey) + crcDigits + len(crcEnd)
	takenBack = "--------"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksummed is a rollout's line with its checksum.
func checksummed(r Rollout) ([]byte, error) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	line.Truncate(line.Len() - len("}\n"))
	fmt.Fprintf(&line, "%s%0*x%s", crcKey, crcDigits, crc32.Checksum(line.Bytes(), castagnoli), crcEnd)
	return line.Bytes(), nil
}

// errTakenBack is no damage: the line was taken back.
var errTakenBack = errors.New("was taken back")

// parsePartialLine is the rollout of a whole line, which is to be trusted: its
// checksum is right, or it has none and is of an older build.
func parsePartialLine(b []byte) (Rollout, error) {
	if at := len(b) - crcLength; at > 0 && string(b[at:at+len(crcKey)]) == crcKey && string(b[len(b)-len(crcEnd):]) == crcEnd {
		switch digits := string(b[at+len(crcKey) : len(b)-len(crcEnd)]); digits {
		case takenBack:
			return Rollout{}, errTakenBack
		case fmt.Sprintf("%0*x", crcDigits, crc32.Checksum(b[:at], castagnoli)):
		default:
			return Rollout{}, errors.New("its checksum is not that of the line")
		}
		l, err := parseLine(append(bytes.Clone(b[:at]), '}'))
		if err != nil {
			return Rollout{}, err
		}
		return l.rollout()
	}
	var l rolloutLine
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	err := dec.Decode(&l)
	if err == nil && len(bytes.TrimSpace(b[dec.InputOffset():])) > 0 {
		err = errors.New("something follows its JSON")
	}
	if err != nil {
		return Rollout{}, err
	}
	return l.rollout()
}

// maxLine bounds a line: a rollout of 32k tokens with log-probs is about 1 MB.
const maxLine = 256 << 20

var errLongLine = fmt.Errorf("is longer than %d bytes", maxLine)

// boundedLines reads lines of at most maxLine bytes.
type boundedLines struct {
	r    *bufio.Reader
	line []byte
	size int64 // of the line that was read last, its end included
}

// next is the next line, its end included, until the next call. whole says that it
// has an end. After the last the error is io.EOF; of a line that is too long it is
// errLongLine, and the next one follows.
func (l *boundedLines) next() (line []byte, whole bool, err error) {
	l.line, l.size = l.line[:0], 0
	for {
		part, err := l.r.ReadSlice('\n')
		if l.size += int64(len(part)); l.size <= maxLine {
			l.line = append(l.line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && l.size == 0:
			return nil, false, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, false, err
		case l.size > maxLine:
			l.line = nil
			return nil, err == nil, errLongLine
		}
		return l.line, err == nil, nil
	}
}
