//go:build torch

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/sampler/openaitest"
)

// argsKey makes the test's own binary the program: beJustrl runs the command
// line that it holds, as JSON.
const argsKey = "JUSTRL_E2E_ARGS"

// beJustrl does not return in a process that [process] has started.
func beJustrl() {
	line, ok := os.LookupEnv(argsKey)
	if !ok {
		return
	}
	var args []string
	if err := json.Unmarshal([]byte(line), &args); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(cli.Run(ctx, append([]string{"justrl"}, args...), os.Stdin, os.Stdout, os.Stderr))
}

// process is a command line in a process of its own, not yet started; it is
// killed when the test ends.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	line, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), argsKey+"="+string(line))
	return cmd
}

// starter makes the command that trains in out: a new run, or one that goes on.
type starter func(out string, resume bool) *exec.Cmd

// killed starts a command and kills it after a while; false if it ended
// before that, which must be with exit code 0.
func killed(t *testing.T, cmd *exec.Cmd, after time.Duration) bool {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	var g errgroup.Group
	g.Go(func() error {
		ended <- cmd.Wait()
		return nil
	})
	timer := time.NewTimer(after) // the moment is the point: nothing waits for it but the kill
	defer timer.Stop()
	var err error
	select {
	case err = <-ended:
	case <-timer.C:
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		err = <-ended
	}
	_ = g.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(interface{ Signal() unix.Signal }).Signal() == unix.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return false
}

// killAndResume kills runs as often as kills says, each at a moment that is
// drawn from seed over the time that the undisturbed run took, resumes them
// until they are done, and checks that each ends as the undisturbed one, whose
// directory is whole. It returns the directories.
func killAndResume(t *testing.T, kills int, seed uint64, whole string, start starter) (outs []string) {
	t.Helper()
	began := time.Now()
	if killed(t, start(whole, false), time.Hour) {
		t.Fatal("the undisturbed run was killed")
	}
	took := time.Since(began)
	want := summary(t, whole).WeightsSHA256
	random := rand.New(rand.NewPCG(seed, 0))
	for done := 0; done < kills; {
		out := filepath.Join(t.TempDir(), "run"+strconv.Itoa(len(outs)))
		outs = append(outs, out)
		for {
			after := time.Hour
			if done < kills {
				after = time.Duration(random.Float64() * float64(took))
			}
			_, err := os.Stat(filepath.Join(out, "config.yaml")) // the last of what a new run writes first
			if !killed(t, start(out, err == nil), after) {
				break
			}
			done++
			t.Logf("kill %d after %s: %s", done, after.Round(time.Millisecond), state(out))
		}
		if got := summary(t, out).WeightsSHA256; got != want {
			t.Errorf("%s ends with the weights %s, the undisturbed run with %s", out, got, want)
		}
	}
	return outs
}

// state is how far a run has come: the newest of what it has left.
func state(out string) string {
	var words []string
	for _, pattern := range []string{"steps.jsonl", "rollouts/*", "checkpoints/*", "summary.json"} {
		files, _ := filepath.Glob(filepath.Join(out, pattern))
		if len(files) == 0 {
			continue
		}
		last := files[len(files)-1]
		word := strings.TrimPrefix(last, out+"/")
		if b, err := os.ReadFile(last); err == nil {
			word += " (" + strconv.Itoa(bytes.Count(b, []byte("\n"))) + " lines)"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// kills is how often to kill: JUSTRL_KILLS, or 3.
func kills(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("JUSTRL_KILLS"))
	if err != nil && os.Getenv("JUSTRL_KILLS") != "" {
		t.Fatalf("JUSTRL_KILLS: %v", err)
	}
	return max(n, 3)
}

// resumed is the run in out, once more. Where it was killed between pausing its
// server and resuming it, it asks its user for what is done here.
func resumed(t *testing.T, url, out string) *exec.Cmd {
	t.Helper()
	resp, err := http.Post(url+"/resume", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return process(t, "run", "--resume", "--server", url, "--out", out)
}

// A run that is killed at any moment, as often as you like, ends with the same
// weights as one that nobody has disturbed, and the same records.
func TestKilledRunEndsTheSame(t *testing.T) {
	server := scripted(t, func(o *openaitest.Options) { o.TokenTime = time.Millisecond }) // so that steps are cut short too
	whole := filepath.Join(t.TempDir(), "whole")
	outs := killAndResume(t, kills(t), 1, whole, func(out string, resume bool) *exec.Cmd {
		if resume {
			return resumed(t, server.URL, out)
		}
		return process(t, small(server, out, "--steps", "5", "--set", "checkpoint.every=2", "--set", "sampling.concurrency=2")...)
	})
	for _, out := range outs {
		sameRun(t, whole, out, 5)
		everyRowOnce(t, out, 5, 4)
	}
}
