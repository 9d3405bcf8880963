package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/childenv"
)

// grace is how long the program may take to end when it is told to.
const grace = 5 * time.Second

// FailedError says that the program ran and failed, or took too long.
type FailedError struct {
	Argv []string // as it was run
	// How it ended: "exit status 3", "signal: killed", "ran longer than 10m0s".
	How string
	// Late tells that it was ended because it took too long.
	Late bool
	// Said is the end of its standard error, on one line; "" if there is none.
	Said string
}

func (e *FailedError) Error() string {
	said := "; it said nothing on its standard error"
	if e.Said != "" {
		said = "; its standard error ends: " + e.Said
	}
	return fmt.Sprintf("command %s: %s%s", quoted(e.Argv), e.How, said)
}

// run runs the program for s, to its end.
func (p *Publisher) run(ctx context.Context, s bridge.Snapshot) error {
	said, err := os.CreateTemp("", "justrl-command-*.log")
	if err != nil {
		return err
	}
	defer os.Remove(said.Name()) //nolint:errcheck // a file of the temporary folder
	defer said.Close()           //nolint:errcheck // nothing of ours was written

	argv := expand(p.o.Argv, s, p.o.Server)
	late := fmt.Errorf("ran longer than %v", p.o.Limit)
	limited, cancel := context.WithTimeoutCause(ctx, p.o.Limit, late)
	defer cancel()
	cmd := exec.CommandContext(limited, argv[0], argv[1:]...)
	cmd.Env = append(childenv.Environ(), "JUSTRL_SNAPSHOT_DIR="+s.Dir, "JUSTRL_SNAPSHOT_VERSION="+strconv.FormatInt(s.Version, 10), "JUSTRL_SERVER="+p.o.Server)
	// A file, not a pipe: a server that is left running would hold a pipe open.
	cmd.Stderr = said
	// A group of its own: Ctrl-C on the terminal is for us, and what it starts is ended with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("command %s: %w", quoted(argv), err)
	}
	err = cmd.Wait()
	if limited.Err() != nil { // what does not end when it is told to
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("command %s was ended: %w", quoted(argv), context.Cause(ctx))
	case limited.Err() != nil:
		return &FailedError{Argv: argv, How: late.Error(), Late: true, Said: tail(said)}
	case err != nil:
		return &FailedError{Argv: argv, How: err.Error(), Said: tail(said)}
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// checkPlaceholders refuses one that is not known, which is most likely misspelt.
func checkPlaceholders(argv []string) error {
	for _, arg := range argv {
		for _, name := range placeholder.FindAllString(arg, -1) {
			if !slices.Contains([]string{"{dir}", "{version}", "{url}"}, name) {
				return fmt.Errorf("%s in %q is none of {dir}, {version}, {url}", name, arg)
			}
		}
	}
	return nil
}

// expand puts the snapshot into the arguments. What is put in is not looked at again.
func expand(argv []string, s bridge.Snapshot, url string) []string {
	r := strings.NewReplacer("{dir}", s.Dir, "{version}", strconv.FormatInt(s.Version, 10), "{url}", url)
	out := make([]string, len(argv))
	for i, arg := range argv {
		out[i] = r.Replace(arg)
	}
	return out
}

// tail is the last lines of a file as one.
func tail(f *os.File) string {
	const most, lines = 2 << 10, 5
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b := make([]byte, min(size, most))
	if _, err := f.ReadAt(b, size-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	var out []string
	for line := range strings.Lines(strings.ToValidUTF8(string(b), "�")) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-lines):], " | ")
}

// quoted shows a program and its arguments.
func quoted(argv []string) string {
	out := make([]string, len(argv))
	for i, arg := range argv {
		if out[i] = arg; arg == "" || strings.ContainsAny(arg, " \t\n\"'") {
			out[i] = strconv.Quote(arg)
		}
	}
	return strings.Join(out, " ")
}
