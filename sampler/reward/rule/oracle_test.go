package rule

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/justrl/justrl/sampler"
)

// oracle is a Python process that imports the official utils.py: the definition
// itself, and an Algebra made of its functions. Where it is not, tests say so:
//
//	JUSTRL_OFFICIAL_UTILS  path of evals/utils.py of thunlp/JustRL
//	JUSTRL_ORACLE_PYTHON   an interpreter with sympy 1.13.1 and pylatexenc 2.10 (python3)
type oracle struct {
	mu    sync.Mutex
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	calls map[string]int
	spent time.Duration
}

const oracleEnv, pythonEnv = "JUSTRL_OFFICIAL_UTILS", "JUSTRL_ORACLE_PYTHON"

// newOracle starts the process for t, or skips t.
func newOracle(t testing.TB) *oracle {
	t.Helper()
	utils := os.Getenv(oracleEnv)
	if utils == "" {
		t.Skipf("SKIPPED: not held against the definition: set %s to evals/utils.py of thunlp/JustRL", oracleEnv)
	}
	python := os.Getenv(pythonEnv)
	if python == "" {
		python = "python3"
	}
	o := &oracle{calls: map[string]int{}}
	o.cmd = exec.Command(python, filepath.Join("testdata", "oracle.py"), utils)
	o.cmd.Stderr = os.Stderr
	var err error
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.out = bufio.NewReaderSize(out, 1<<20)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.in.Close()
		if err := o.cmd.Wait(); err != nil {
			t.Errorf("oracle: %v", err)
		}
	})
	return o
}

// ask calls a function of the definition. Nothing is decoded into result if the
// oracle gave up after its own limit of time: that is sampler.ErrVerifyTimeout.
func (o *oracle) ask(result any, name string, args ...string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	start := time.Now()
	line, err := json.Marshal(append([]string{name}, args...))
	if err != nil {
		return err
	}
	if _, err := o.in.Write(append(line, '\n')); err != nil {
		return err
	}
	answer, err := o.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	o.calls[name]++
	o.spent += time.Since(start)
	if string(answer) == "\"timeout\"\n" && name != "_normalize" {
		return sampler.ErrVerifyTimeout
	}
	return json.Unmarshal(answer, result)
}

// Normalize implements [Algebra].
func (o *oracle) Normalize(_ context.Context, expr string) (s string, err error) {
	err = o.ask(&s, "_normalize", expr)
	return s, err
}

// Equal implements [Algebra].
func (o *oracle) Equal(_ context.Context, truth, given string) (equal bool, err error) {
	err = o.ask(&equal, "are_equal_under_sympy", truth, given)
	return equal, err
}
