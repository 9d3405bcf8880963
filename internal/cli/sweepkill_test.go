package cli

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/sampler/openaitest"
)

// A sweep that is killed at any moment, again and again, and started again with
// the same command, has asked for the same as one that nobody disturbed, has
// each answer once, and prints the same.
func TestKilledSweepGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	const kills, concurrency = 6, 2
	slow := func(o *openaitest.Options) { o.TokenTime = time.Millisecond }
	a, b := named(t, "one", slow), named(t, "two", slow)
	spec := sweepSpec(t, a.URL, b.URL)
	args := func(out string) []string { return []string{"sweep", spec, "--out", out, "--patience", "5s"} }
	whole := filepath.Join(t.TempDir(), "whole")
	began := time.Now()
	if code, stderr := killedAfter(t, process(t, args(whole)...), unix.SIGKILL, time.Hour); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	took := time.Since(began)
	servers := []*openaitest.Server{a, b}
	wants, from := make([][]string, 2), make([]int, 2)
	for i, s := range servers {
		wants[i], from[i] = requested(t, s, 0), len(chats(t, s))
		if from[i] != 48 || len(slices.Compact(slices.Clone(wants[i]))) == 0 {
			t.Fatalf("%d requests", from[i])
		}
	}
	random := rand.New(rand.NewPCG(11, 0))
	out := filepath.Join(t.TempDir(), "killed")
	here := 0 // kills of this folder's sweep
	for killed := 0; killed < kills; {
		code, stderr := killedAfter(t, process(t, args(out)...), unix.SIGKILL, time.Duration((0.1+0.6*random.Float64())*float64(took)))
		switch code {
		case ExitOK: // it was faster than the kill: another folder
			for i, s := range servers {
				from[i] = len(chats(t, s))
			}
			out, here = filepath.Join(t.TempDir(), "killed"), 0
		case -1:
			killed, here = killed+1, here+1
		default:
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
	}
	code, stdout, stderr := run(t, args(out)...)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for i, s := range servers {
		got := requested(t, s, from[i])
		// What was under way when it was killed is asked for again, and nothing else.
		if extra := len(got) - len(wants[i]); extra < 0 || extra > here*concurrency {
			t.Errorf("server %d was asked %d times too often in %d kills", i, extra, here)
		}
		if !slices.Equal(slices.Compact(got), slices.Compact(slices.Clone(wants[i]))) {
			t.Errorf("server %d was asked something else", i)
		}
	}
	for _, e := range []string{"one-t0.7-p0.9-n2-m200-s0", "one-t0.7-p0.9-n2-m200-s1", "two-t0.7-p0.9-n2-m200-s0", "two-t0.7-p0.9-n2-m200-s1"} {
		for _, template := range []string{"", "short"} {
			for _, set := range []string{"sums", "more"} {
				path := filepath.Join("cells", e, template, set+"_t0.7_p0.9_n2-MNT200.jsonl")
				got, want := answersIn(t, filepath.Join(out, path)), answersIn(t, filepath.Join(whole, path))
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) || len(got) != 6 {
					t.Errorf("%s has %d answers, want the %d", path, len(got), len(want))
				}
			}
		}
	}
	_, table, _ := run(t, args(whole)...)
	if strings.ReplaceAll(stdout, out, "") != strings.ReplaceAll(table, whole, "") {
		t.Errorf("it printed\n%s, the undisturbed one\n%s", stdout, table)
	}
	t.Logf("%d kills in the last folder, an undisturbed sweep takes %s\n%s", here, took.Round(time.Millisecond), stdout)
}

// Ctrl-C ends it with 130; the same command goes on.
func TestSweepInterrupt(t *testing.T) {
	slow := func(o *openaitest.Options) { o.TokenTime = time.Minute }
	a, b := named(t, "one", slow), named(t, "two", slow)
	spec, out := sweepSpec(t, a.URL, b.URL), filepath.Join(t.TempDir(), "out")
	cmd := process(t, "sweep", spec, "--out", out)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*openaitest.Server{a, b} { // two places each
		if err := s.AwaitRunning(t.Context(), func(n int) bool { return n == 2 }); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the code says it
	if code := cmd.ProcessState.ExitCode(); code != ExitInterrupted || !strings.Contains(errs.String(), "0 of 4 evaluations are complete in "+out) {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
	for _, s := range []*openaitest.Server{a, b} {
		if err := s.AwaitRunning(t.Context(), func(n int) bool { return n == 0 }); err != nil {
			t.Error(err)
		}
		s.Set(func(o *openaitest.Options) { o.TokenTime = 0 })
	}
	if code, _, stderr := run(t, "sweep", spec, "--out", out); code != ExitOK || len(chats(t, a)) != 50 || len(chats(t, b)) != 50 {
		t.Errorf("exit code %d, %d and %d requests\n%s", code, len(chats(t, a)), len(chats(t, b)), stderr)
	}
}
