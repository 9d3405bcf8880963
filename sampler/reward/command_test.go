package reward

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/sampler"
)

// The test binary is the user's program too, in the manner that its first
// argument after the marker names.
const asProgram = "justrl-test-verifier"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asProgram {
		program(os.Args[2], os.Args[3:])
		os.Exit(0)
	}
	if len(os.Args) > 3 && os.Args[1] == asDoomed {
		doomed(os.Args[2], os.Args[3])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program answers the lines of standard input. What a response says decides how.
func program(log string, _ []string) {
	started(log)
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(9)
		}
		switch what, rest, _ := strings.Cut(r.Response, " "); what {
		case "die":
			fmt.Fprintln(os.Stderr, "Traceback: it was", rest)
			os.Exit(7)
		case "hang":
			child(rest)
			select {}
		case "freeze":
			_ = os.WriteFile(rest, []byte(strconv.Itoa(os.Getpid())), 0o600) // who reads it waits for it
			time.Sleep(time.Hour)
		case "deaf":
			os.Stdin.Close()
			os.Stdout.Close()
			select {}
		case "flood":
			for {
				if _, err := os.Stdout.WriteString(strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		case "env":
			fmt.Fprintf(os.Stdout, "%q\n", os.Environ())
		case "chatter":
			fmt.Fprintln(os.Stdout, "loading the model")
		case "stale":
			fmt.Fprintf(os.Stdout, `{"id":%d,"score":1}`+"\n", r.ID-1)
		case "two":
			fmt.Fprintf(os.Stdout, `{"id":%d,"score":1}`+"\n"+`{"id":%d,"score":1}`+"\n", r.ID, r.ID)
		case "say":
			fmt.Fprintln(os.Stdout, strings.ReplaceAll(rest, "ID", fmt.Sprint(r.ID)))
		default:
			score := -1
			if r.Response == r.GroundTruth {
				score = 1
			}
			b, _ := json.Marshal(map[string]any{"id": r.ID, "score": score, "answer": r.Response})
			fmt.Fprintln(os.Stdout, string(b))
		}
	}
}

// asDoomed marks a process that asks a program, whose log is its argument, what
// the next one says.
const asDoomed = "justrl-test-doomed"

func doomed(log, response string) {
	c, err := NewCommand([]string{os.Args[0], asProgram, log}, 1)
	if err == nil {
		_, _ = c.Verify(context.Background(), response, "")
	}
}

// started writes this process's number on a line of its own.
func started(log string) {
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(f, os.Getpid())
		f.Close()
	}
}

// child leaves a process in the group that holds our pipes, and says which.
func child(log string) {
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "600"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		os.Exit(8)
	}
	f, _ := os.OpenFile(log, os.O_WRONLY, 0)
	fmt.Fprintln(f, p.Pid) // the test waits for it
	f.Close()
}

// command is the test binary as a Command, with the file that lists its processes.
func command(t *testing.T, copies int) (c *Command, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "started")
	c, err := NewCommand([]string{os.Args[0], asProgram, log}, copies)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, pid := range pids(t, log) {
			if alive(pid) {
				t.Errorf("process %d is still there", pid)
			}
		}
	})
	return c, log
}

func pids(t *testing.T, log string) (out []int) {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, s := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}

// alive: not gone, and not a zombie that only its parent's wait is missing for.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !errors.Is(err, os.ErrNotExist)
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

func ask(t *testing.T, c *Command, response, truth string) (sampler.Score, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return c.Verify(ctx, response, truth)
}

func TestCommandIsStartedOnce(t *testing.T) {
	c, log := command(t, 1)
	for i := range 50 {
		text := fmt.Sprintf("line %d\nwith a break, \"quotes\", <tags>, 数 and \x00", i)
		if s, err := ask(t, c, text, text); err != nil || s != (sampler.Score{Reward: 1, Correct: true, Answer: text}) {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if s, err := ask(t, c, "a", "b"); err != nil || s != (sampler.Score{Reward: -1, Answer: "a"}) {
		t.Errorf("%+v, %v", s, err)
	}
	if n := len(pids(t, log)); n != 1 {
		t.Errorf("%d processes, want 1", n)
	}
}

func TestCommandReplies(t *testing.T) {
	c, log := command(t, 1)
	for _, tc := range []struct {
		reply string
		want  sampler.Score
		err   string // "" is none
		again bool   // a new process is needed after it
	}{
		{`{"id":ID,"score":0.25}`, sampler.Score{Reward: 0.25, Correct: true}, "", false},
		{`{"id":"ID","score":0.25,"correct":false,"answer":"x"}`, sampler.Score{Reward: 0.25, Answer: "x"}, "", false},
		{`{"id":ID,"score":0}`, sampler.Score{}, "", false},
		{`{"id":ID,"score":-1,"correct":true,"more":[1]}`, sampler.Score{Reward: -1, Correct: true}, "", false},
		{`{"id":ID,"error":"no such\nunit","score":1}`, sampler.Score{}, "it says: no such unit", false},
		{`{"id":ID}`, sampler.Score{}, "neither score nor error", false},
		{`{"id":ID,"score":1e999}`, sampler.Score{}, "no JSON object of a verdict", true},
		{`{"id":ID,"score":"1"}`, sampler.Score{}, "no JSON object of a verdict", true},
		{`{"score":1}`, sampler.Score{}, "it answers request , asked was", true},
		{`[1]`, sampler.Score{}, "no JSON object of a verdict", true},
	} {
		before := len(pids(t, log))
		s, err := ask(t, c, "say "+tc.reply, "")
		if s != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %+v, %v; want %+v, %q", tc.reply, s, err, tc.want, tc.err)
		}
		if errors.Is(err, sampler.ErrVerifyTimeout) {
			t.Errorf("%s: %v is no time-out", tc.reply, err)
		}
		if _, err := ask(t, c, "a", "a"); err != nil {
			t.Errorf("after %s: %v", tc.reply, err)
		}
		if again := len(pids(t, log)) > max(before, 1); again != tc.again {
			t.Errorf("%s: another process: %t, want %t", tc.reply, again, tc.again)
		}
	}
}

// What dies, floods, chatters or answers another question is an error of that
// pair, and the next has a new process.
func TestCommandIsStartedAgain(t *testing.T) {
	c, log := command(t, 1)
	for response, want := range map[string]string{
		"die young": "it ended without an answer (exit status 7; standard error: …Traceback: it was young)",
		"flood":     "its line is longer than 1048576 bytes",
		"chatter":   `nothing else may be written to standard output): "loading the model"`,
		"stale":     "it answers request",
	} {
		before := len(pids(t, log))
		if s, err := ask(t, c, response, ""); err == nil || s != (sampler.Score{}) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %+v, %v; want %q", response, s, err, want)
		}
		if s, err := ask(t, c, "x", "x"); err != nil || !s.Correct {
			t.Errorf("after %s: %+v, %v", response, s, err)
		}
		if n := len(pids(t, log)); n < before+1 {
			t.Errorf("%s: %d processes after %d", response, n, before)
		}
	}
	// A line too many is found by the next pair.
	if _, err := ask(t, c, "two", ""); err != nil {
		t.Error(err)
	}
	if _, err := ask(t, c, "x", "x"); err == nil || !strings.Contains(err.Error(), "it answers request") {
		t.Errorf("a line too many: %v", err)
	}
	if s, err := ask(t, c, "x", "x"); err != nil || !s.Correct {
		t.Errorf("after it: %+v, %v", s, err)
	}
}

// A pair that hangs is killed with all that it has started; its neighbours go on.
func TestCommandThatHangs(t *testing.T) {
	c, _ := command(t, 2)
	fifo := filepath.Join(t.TempDir(), "child")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	var g errgroup.Group
	g.Go(func() error {
		s, err := c.Verify(ctx, "hang "+fifo, "")
		if s != (sampler.Score{}) || !errors.Is(err, sampler.ErrVerifyTimeout) {
			return fmt.Errorf("hung: %+v, %w", s, err)
		}
		return nil
	})
	b, err := os.ReadFile(fifo) // until the child is there
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if s, err := ask(t, c, "x", "x"); err != nil || !s.Correct {
			t.Errorf("a neighbour: %+v, %v", s, err)
		}
	}
	cancel(fmt.Errorf("%w: over 30s", sampler.ErrVerifyTimeout))
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); alive(pid); { // init may take a moment to see it
		if time.Now().After(deadline) {
			t.Fatalf("the child %d outlives its parent", pid)
		}
	}
	if s, err := ask(t, c, "x", "x"); err != nil || !s.Correct {
		t.Errorf("after it: %+v, %v", s, err)
	}
}

// A process that closes its pipes and lives on holds nobody up.
func TestCommandThatIsDeaf(t *testing.T) {
	c, _ := command(t, 1)
	if _, err := ask(t, c, "deaf", ""); err == nil || !strings.Contains(err.Error(), "it ended without an answer") {
		t.Errorf("%v", err)
	}
	// More than a pipe holds, to one that does not read.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	big := strings.Repeat("y", 1<<20)
	if _, err := c.Verify(ctx, "hang /dev/null", big); !errors.Is(err, sampler.ErrVerifyTimeout) {
		t.Errorf("%v, want a time-out", err)
	}
}

// Copies work at the same time, no more of them than there may be.
func TestCommandCopies(t *testing.T) {
	c, log := command(t, 3)
	var g errgroup.Group
	for i := range 60 {
		g.Go(func() error {
			text := fmt.Sprint(i)
			if s, err := c.Verify(t.Context(), text, text); err != nil || !s.Correct || s.Answer != text {
				return fmt.Errorf("%d: %+v, %w", i, s, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if n := len(pids(t, log)); n < 1 || n > 3 {
		t.Errorf("%d processes, want up to 3", n)
	}
}

func TestCommandClosed(t *testing.T) {
	c, _ := command(t, 1)
	if _, err := ask(t, c, "x", "x"); err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	for range 3 {
		g.Go(func() { _ = c.Close() })
	}
	g.Wait()
	if _, err := ask(t, c, "x", "x"); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("%v", err)
	}
}

func TestNoCommand(t *testing.T) {
	for _, argv := range [][]string{nil, {filepath.Join(t.TempDir(), "none")}, {"justrl-no-such-program"}} {
		if _, err := NewCommand(argv, 1); err == nil || !strings.HasPrefix(err.Error(), "verifier: ") {
			t.Errorf("%q: %v", argv, err)
		}
	}
}

// A verifier may run what a model has written: the keys of this program are not for it.
func TestVerifiersGetNoKeys(t *testing.T) {
	t.Setenv("JUSTRL_API_KEY", "hunter2")
	t.Setenv("JUSTRL_VERIFIER_SETTING", "kept")
	p, err := startProcess([]string{os.Args[0], asProgram, os.DevNull})
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	env, err := p.ask(t.Context(), request{Response: "env"})
	if err != nil || strings.Contains(string(env), "hunter2") || !strings.Contains(string(env), "JUSTRL_VERIFIER_SETTING=kept") {
		t.Errorf("%v; its environment: %s", err, env)
	}
}
