package reward

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/justrl/justrl/internal/childenv"
)

// process is one running copy of a [Command]'s program. It has one user at a time.
type process struct {
	cmd     *exec.Cmd
	wait    func() error // once
	in, out *os.File     // our ends of its standard input and output
	lines   *bufio.Reader
	stderr  *tail
}

// grace is how long a process may take to end after its input has.
const grace = 2 * time.Second

func startProcess(argv []string) (_ *process, err error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	p := &process{in: in, out: out, lines: bufio.NewReaderSize(out, 1<<16), stderr: &tail{}}
	p.cmd = exec.Command(argv[0], argv[1:]...) //nolint:noctx // it outlives the context of a pair, and ends with its Command
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirIn, theirOut, p.stderr
	p.cmd.Env = childenv.Environ() // it may run what a model has written
	p.cmd.WaitDelay = grace        // a child of its own may hold standard error open
	// A group of its own: Ctrl-C on the terminal is for us, and what it starts can be killed with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.wait, err = start(p.cmd)
	_, _ = theirIn.Close(), theirOut.Close()
	if err != nil {
		_, _ = in.Close(), out.Close()
		return nil, err
	}
	return p, nil
}

// ask writes one line and reads one. It returns early, with an error, when ctx
// ends; after any error the process must be killed.
func (p *process) ask(ctx context.Context, r request) ([]byte, error) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	// A deadline that is past ends what reads or writes, whoever else holds the pipe.
	stop := context.AfterFunc(ctx, func() {
		_, _ = p.in.SetDeadline(time.Unix(1, 0)), p.out.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	if _, err := p.in.Write(line.Bytes()); err != nil {
		return nil, fmt.Errorf("it reads no more: %w", err)
	}
	got, err := p.readLine()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it ended without an answer")
	case err != nil:
		return nil, err
	case !stop():
		return nil, context.Cause(ctx) // its pipes are of no more use
	}
	return got, nil
}

// readLine is a line without its end, at most maxVerdict bytes.
func (p *process) readLine() ([]byte, error) {
	var line []byte
	for {
		part, err := p.lines.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxVerdict {
			return nil, fmt.Errorf("its line is longer than %d bytes", maxVerdict)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSpace(line), err
		}
	}
}

// kill ends the process and its group, and says how it ended.
func (p *process) kill() string {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // before Wait: until then nobody else can have its number
	err := p.wait()
	_, _ = p.in.Close(), p.out.Close()
	state := "it ended"
	if err != nil {
		state = err.Error()
	}
	if said := p.stderr.String(); said != "" {
		state += "; standard error: …" + said
	}
	return state
}

// end lets the process end by itself, and then sees to it.
func (p *process) end() {
	_, _ = p.in.Close(), p.out.SetReadDeadline(time.Now().Add(grace))
	_, _ = io.Copy(io.Discard, p.out) // until it has ended, or the time has come
	p.kill()
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

const maxTail = 2 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, b[max(0, len(b)-maxTail):]...)
	if over := len(t.end) - maxTail; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return len(b), nil
}

// String is the last of it on one line: a traceback's last line says most.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return short(string(t.end[max(0, len(t.end)-300):]))
}
