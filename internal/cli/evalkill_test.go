package cli

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/sampler/openaitest"
)

// killedAfter starts a command and sends it a signal after a while; it returns the exit
// code, -1 if the signal ended it.
func killedAfter(t *testing.T, cmd *exec.Cmd, sig os.Signal, after time.Duration) (code int, stderr string) {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	var g errgroup.Group
	g.Go(func() error {
		ended <- cmd.Wait()
		return nil
	})
	timer := time.NewTimer(after) // the moment is the point: nothing waits for it but the signal
	defer timer.Stop()
	var err error
	select {
	case err = <-ended:
	case <-timer.C:
		if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		err = <-ended
	}
	_ = g.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}

// An evaluation that is killed at any moment, again and again, and started
// again with the same command, has asked for the same pairs as one that nobody
// disturbed, has each answer once, and prints the same table.
func TestKilledEvalGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	const problems, n, kills = 6, 3, 8
	server := sums(t, func(o *openaitest.Options) { o.TokenTime = 2 * time.Millisecond })
	second := judging(t, "B")
	set := sumsSet(t, problems)
	args := func(out string) []string {
		return evalArgs(server.URL, set, out, "--concurrency", "2", "--judge", second.URL)
	}
	pairs := func(from int) []string {
		var out []string
		for _, r := range chats(t, server)[from:] {
			out = append(out, r.Messages[0].Content+" "+string(rune(r.Seed)))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	began := time.Now()
	if code, stderr := killedAfter(t, process(t, args(whole)...), unix.SIGKILL, time.Hour); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	took := time.Since(began)
	complete(t, filepath.Join(whole, sumsFile), problems, n)
	want := pairs(0)

	random := rand.New(rand.NewPCG(7, 0))
	from := len(chats(t, server))
	out := filepath.Join(t.TempDir(), "killed")
	done := 0
	for done < kills {
		code, stderr := killedAfter(t, process(t, args(out)...), unix.SIGKILL, time.Duration(random.Float64()*float64(took)))
		if code == ExitOK { // it was faster than the kill: another folder
			complete(t, filepath.Join(out, sumsFile), problems, n)
			if got := pairs(from); !slices.Equal(got, want) {
				t.Errorf("asked for %d pairs, want the %d", len(got), len(want))
			}
			from, out = len(chats(t, server)), filepath.Join(t.TempDir(), "killed")
			continue
		}
		if code != -1 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		done++
	}
	code, stdout, stderr := run(t, args(out)...)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	complete(t, filepath.Join(out, sumsFile), problems, n)
	if got := pairs(from); !slices.Equal(got, want) {
		t.Errorf("asked for %d pairs, want the %d", len(got), len(want))
	}
	_, table, _ := run(t, args(whole)...)
	if strings.ReplaceAll(stdout, out, "") != strings.ReplaceAll(table, whole, "") {
		t.Errorf("the table is\n%s, the undisturbed one's\n%s", stdout, table)
	}
}

// Ctrl-C ends it with 130, a server that stops midway with 3; both go on.
func TestEvalEndsEarly(t *testing.T) {
	const problems, n = 4, 3
	set := sumsSet(t, problems)
	t.Run("interrupt", func(t *testing.T) {
		server := sums(t, func(o *openaitest.Options) { o.TokenTime = time.Minute })
		out := filepath.Join(t.TempDir(), "out")
		cmd := process(t, evalArgs(server.URL, set, out)...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begun, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := server.AwaitRunning(begun, func(n int) bool { return n == problems*3 }); err != nil {
			t.Fatalf("%v\n%s", err, errs.String())
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the code says it
		if code := cmd.ProcessState.ExitCode(); code != ExitInterrupted || !strings.Contains(errs.String(), "0 of 12 answers") {
			t.Errorf("exit code %d\n%s", code, errs.String())
		}
		if err := server.AwaitRunning(t.Context(), func(n int) bool { return n == 0 }); err != nil {
			t.Error(err)
		}
		server.Set(func(o *openaitest.Options) { o.TokenTime = 0 })
		if code, _, stderr := run(t, evalArgs(server.URL, set, out)...); code != ExitOK {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		complete(t, filepath.Join(out, sumsFile), problems, n)
	})
	t.Run("server", func(t *testing.T) {
		server := sums(t, nil)
		server.Inject(openaitest.Fault{Kind: openaitest.FaultClose, Path: chatPath, After: 5, Times: -1})
		out := filepath.Join(t.TempDir(), "out")
		code, _, stderr := run(t, evalArgs(server.URL, set, out, "--concurrency", "1")...)
		if code != ExitServer || !strings.Contains(stderr, "5 of 12 answers are in "+out) || !strings.Contains(stderr, server.URL) {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		if last := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]; !strings.HasPrefix(last, "justrl: sums: problem ") {
			t.Errorf("the last line is %q", last)
		}
		server.Heal()
		asked := len(chats(t, server))
		if code, _, stderr := run(t, evalArgs(server.URL, set, out)...); code != ExitOK {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		complete(t, filepath.Join(out, sumsFile), problems, n)
		if now := len(chats(t, server)); now != asked+7 {
			t.Errorf("%d requests for the 7 that were missing", now-asked)
		}
	})
	t.Run("torn line", func(t *testing.T) {
		server := sums(t, nil)
		out := filepath.Join(t.TempDir(), "out")
		if code, _, stderr := run(t, evalArgs(server.URL, set, out)...); code != ExitOK {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		path := filepath.Join(out, sumsFile)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b[:len(b)-20], 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := run(t, evalArgs(server.URL, set, out)...); code != ExitOK || len(chats(t, server)) != 13 {
			t.Errorf("exit code %d, %d requests\n%s", code, len(chats(t, server)), stderr)
		}
		complete(t, path, problems, n)
		lines := bytes.SplitAfter(b, []byte("\n"))
		lines[4] = []byte("{broken\n")
		if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := run(t, evalArgs(server.URL, set, out)...); code != ExitFailed || !strings.Contains(stderr, path+":5:") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
}
