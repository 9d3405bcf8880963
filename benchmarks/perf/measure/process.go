package measure

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// Process is a contender in a process of its own, which answers each JSON line
// with another and sleeps between them.
type Process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	replies *bufio.Reader
}

// Start blocks until the process has said that it is ready, in a first line
// that is read into ready. The caller closes it; a failure leaves nothing behind.
func Start(cmd *exec.Cmd, ready any) (*Process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, in: in, replies: bufio.NewReader(out)}
	if err := p.reply(ready); err != nil {
		p.Close()
		return nil, fmt.Errorf("did not start: %w", err)
	}
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Close ends the process and waits for it: the end of its input tells it to go.
func (p *Process) Close() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// Ask blocks until the process has answered.
func (p *Process) Ask(question, answer any) error {
	if err := json.NewEncoder(p.in).Encode(question); err != nil {
		return fmt.Errorf("the process has ended: %w", err)
	}
	return p.reply(answer)
}

func (p *Process) reply(answer any) error {
	line, err := p.replies.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return errors.New("the process ended: see its output above")
	} else if err != nil {
		return err
	}
	if err := json.Unmarshal(line, answer); err != nil {
		return fmt.Errorf("%w: %.200q", err, line)
	}
	return nil
}
