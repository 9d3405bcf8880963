package sympy

import (
	"bytes"
	"context"
	_ "embed" // the worker's source
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

//go:embed worker/boot.py
var bootSource string

//go:embed worker/grader.py
var graderSource string

//go:embed worker/confine.py
var confineSource string

//go:embed worker/serve.py
var serveSource string

// workerSource is what a worker is sent to run.
var workerSource = graderSource + "\n" + confineSource + "\n" + serveSource + "\nserve(settings)\n"

const (
	// startLimit bounds the time until a worker is ready: half a second where
	// nothing else runs, minutes where it has to compile its libraries.
	startLimit = 3 * time.Minute
	// wallFactor is how much longer than its CPU time a pair may take by the
	// clock: processor time is what counts, on a machine that does other things
	// too, and the clock ends only what waits for something.
	wallFactor = 12
	stderrKept = 4 << 10
)

// launch is how workers are started; the same for all of a pool.
type launch struct {
	python    interpreter
	dir       string // working directory: empty
	timeLimit time.Duration
	memory    int64
	layers    []string // of worker/confine.py
	source    string
	compile   bool // keep compiled modules beside their sources
}

var allLayers = []string{"landlock", "limits", "seccomp", "audit"}

// worker is one process. It answers one question at a time, for one caller.
type worker struct {
	cmd     *exec.Cmd
	in, out *os.File
	stderr  *os.File
	number  uint32 // of the last question
	wall    time.Duration
	hello   hello
}

// hello is what a worker says when it is ready.
type hello struct {
	Versions Versions `json:"versions"`
	Holding  []string `json:"holding"` // the layers that confine it
}

// start starts a worker and waits until it is ready. ctx bounds the start alone;
// the process ends with life at the latest.
func (l launch) start(ctx, life context.Context) (_ *worker, err error) {
	settings, err := json.Marshal(map[string]any{
		"path": l.python.path, "layers": l.layers, "memory": l.memory, "seconds": l.timeLimit.Seconds(),
	})
	if err != nil {
		return nil, err
	}
	args := []string{"-s", "-S", "-c", bootSource}
	if !l.compile {
		args = append([]string{"-B"}, args...)
	}
	cmd := exec.CommandContext(life, l.python.exe, args...)
	cmd.Dir = l.dir
	// Sets and dicts of strings in one order everywhere; integers of CPython's
	// own; nothing of the user's.
	cmd.Env = []string{"PYTHONHASHSEED=0", "PYTHONUTF8=1", "SYMPY_GROUND_TYPES=python", "MPMATH_NOGMPY=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }

	var files []*os.File
	pipe := func() (r, w *os.File) {
		if err == nil {
			if r, w, err = os.Pipe(); err == nil {
				files = append(files, r, w)
			}
		}
		return r, w
	}
	childIn, in := pipe()
	out, childOut := pipe()
	stderr, childErr := pipe()
	if err == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, childErr
		err = cmd.Start()
	}
	if err != nil {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
		return nil, fmt.Errorf("start %s: %w", l.python.exe, err)
	}
	err = errors.Join(childIn.Close(), childOut.Close(), childErr.Close())

	w := &worker{cmd: cmd, in: in, out: out, stderr: stderr, wall: wallFactor * l.timeLimit}
	kind, text, askErr := w.exchange(ctx, appendText(appendText(nil, string(settings)), l.source), startLimit, 1<<16)
	if err = errors.Join(err, askErr); err == nil && kind != isReady {
		err = errors.New(strings.ToValidUTF8(string(text), "\uFFFD"))
	}
	if err == nil {
		err = json.Unmarshal(text, &w.hello)
	}
	if err != nil {
		w.end()
		return nil, fmt.Errorf("start %s: %w", l.python.exe, err)
	}
	return w, nil
}

// ask asks one question. After an error the worker is of no use any more: end it.
func (w *worker) ask(ctx context.Context, kind byte, first, second string) (byte, []byte, error) {
	w.number++
	// Nothing that normalises grows as much as that.
	most := 1<<16 + 64*len(first)
	if kind != askNormalize {
		most = 0
	}
	return w.exchange(ctx, appendQuestion(nil, kind, w.number, first, second), w.wall, most)
}

// exchange sends bytes and reads the answer, both within a time and until ctx is
// done. The worker reads a question to its end before it answers, so that neither
// waits for the other.
func (w *worker) exchange(ctx context.Context, question []byte, limit time.Duration, most int) (byte, []byte, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	deadline := time.Now().Add(limit)
	err := errors.Join(w.in.SetWriteDeadline(deadline), w.out.SetReadDeadline(deadline))
	if err != nil {
		return 0, nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		past := time.Unix(1, 0)
		_ = errors.Join(w.in.SetWriteDeadline(past), w.out.SetReadDeadline(past)) // they are open, or nobody waits
	})
	var kind byte
	var text []byte
	if _, err = w.in.Write(question); err == nil {
		kind, text, err = readAnswer(w.out, w.number, most)
	}
	if !stop() {
		return 0, nil, ctx.Err()
	}
	switch {
	case err == nil && kind == isTooBig:
		return 0, nil, ErrMemory
	case err == nil:
		return kind, text, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, nil, fmt.Errorf("%w: no answer after %v", errTooLong, limit)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		return 0, nil, w.post(err)
	}
	return 0, nil, fmt.Errorf("%w: %w", ErrCrashed, err)
}

// post says what a worker died of that closed its pipe.
func (w *worker) post(err error) error {
	w.reap()
	if status, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		if status.Signal() == syscall.SIGPROF {
			return fmt.Errorf("%w: its CPU time was up", errTooLong)
		}
	}
	said := ""
	if w.stderr.SetReadDeadline(time.Now().Add(time.Second)) == nil {
		b, _ := io.ReadAll(io.LimitReader(w.stderr, stderrKept)) // what there is
		if lines := bytes.Split(bytes.TrimSpace(b), []byte("\n")); len(lines[len(lines)-1]) > 0 {
			said = ": " + strings.ToValidUTF8(string(lines[len(lines)-1]), "\uFFFD")
		}
	}
	return fmt.Errorf("%w: %w: %v%s", ErrCrashed, err, w.cmd.ProcessState, said)
}

// end kills the worker and whatever it started, and waits until it is gone.
func (w *worker) end() {
	w.reap()
	_ = errors.Join(w.in.Close(), w.out.Close(), w.stderr.Close()) // of a process that is gone
}

// reap is end without closing the pipes; safe to call twice.
func (w *worker) reap() {
	if w.cmd.ProcessState == nil {
		_ = killGroup(w.cmd) // it may have ended by itself
		_ = w.cmd.Wait()     // it was killed
	}
}

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
