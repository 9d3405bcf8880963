//go:build torch

package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler/openaitest"
)

// uneven is a scripted server to which a third of the problems is too easy and a
// third too hard, by the sum of the prompt's tokens.
func uneven(t *testing.T, change func(*openaitest.Options)) *openaitest.Server {
	t.Helper()
	return scripted(t, func(o *openaitest.Options) {
		script := o.Script
		o.Script = func(prompt []int32, seed int64) []int32 {
			sum := int32(0)
			for _, id := range prompt {
				sum += id
			}
			switch sum % 3 {
			case 0:
				seed = 0
			case 1:
				seed = 1
			}
			return script(prompt, seed)
		}
		if change != nil {
			change(o)
		}
	})
}

// dapoArgs are those of a run with both of DAPO's additions; answers are about
// 12 tokens long.
func dapoArgs(server *openaitest.Server, out string, more ...string) []string {
	return small(server, out, append([]string{
		"--set", "sampling.dynamic=true", "--set", "reward.overlong_buffer=90", "--set", "checkpoint.every=2",
	}, more...)...)
}

// The whole program with dynamic sampling and shaped rewards: what is trained on,
// what is recorded of it, and a replay from the records.
func TestDynamicRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	r := must(t, dapoArgs(uneven(t, nil), out, "--steps", "3", "--validation", heldOut)...)
	if !strings.Contains(r.stderr, "rows equal") {
		t.Errorf("stderr says nothing of what was left out:\n%s", r.stderr)
	}
	last := int64(-1)
	for _, s := range steps(t, out, 3) {
		d := s.Drawn
		if d == nil || d.Groups != 8*d.Batches || d.EqualGroups == 0 || d.Groups-d.EqualGroups-d.SurplusGroups != 8 || s.EqualRows != 0 {
			t.Errorf("step %d drew %+v, and trained on a share of %g equal groups", s.Step, d, s.EqualRows)
		}
		if s.Overlong == nil || s.OverlongShare != 1 || s.ScoreMean >= 2*s.Correct-1 || s.ScoreMean < 2*s.Correct-2 {
			t.Errorf("step %d: overlong %+v, score %g, right %g", s.Step, s.Overlong, s.ScoreMean, s.Correct)
		}
		right := map[int64]int{}
		for _, o := range rollouts(t, out, s.Step) {
			verdict := map[bool]float64{true: 1, false: -1}[o.Correct]
			if want := -float64(len(o.TokenIDs)-6) / 90; o.Penalty != want || o.Reward != verdict+want {
				t.Fatalf("step %d: %d tokens, reward %g, penalty %g: want %g and %g", s.Step, len(o.TokenIDs), o.Reward, o.Penalty, verdict+want, want)
			}
			if o.Group < last {
				t.Fatalf("step %d: row %d after row %d", s.Step, o.Group, last)
			}
			last = o.Group
			if right[o.Group] += 0; o.Correct {
				right[o.Group]++
			}
		}
		for row, n := range right {
			if n == 0 || n == 4 {
				t.Errorf("step %d trained on row %d, of whose 4 answers %d are right", s.Step, row, n)
			}
		}
		if len(right) != 8 {
			t.Errorf("step %d trained on %d rows, want 8", s.Step, len(right))
		}
	}
	if got := must(t, "replay", out, "--step", "2"); !strings.Contains(got.stdout, "same") {
		t.Errorf("replay says %q", got.stdout)
	}
	for _, a := range readLines[journal.Answer](t, content(t, filepath.Join(out, "eval/step-000003/heldout.jsonl"))) {
		if a.Correct != strings.Contains(a.Text, `\boxed{`+a.GroundTruth+"}") {
			t.Fatalf("a held-out answer is %+v", a)
		}
	}
}

// Killed at any moment, between batches of a step too.
func TestKilledDynamicRunEndsTheSame(t *testing.T) {
	server := uneven(t, func(o *openaitest.Options) { o.TokenTime = time.Millisecond })
	whole := filepath.Join(t.TempDir(), "whole")
	outs := killAndResume(t, kills(t), 5, whole, func(out string, resume bool) *exec.Cmd {
		if resume {
			return resumed(t, server.URL, out)
		}
		return process(t, dapoArgs(server, out, "--steps", "4", "--set", "sampling.concurrency=2")...)
	})
	for _, out := range outs {
		sameRun(t, whole, out, 4)
	}
}

// Stopped in the second batch of a step, resumed asks for what is missing.
func TestDynamicStepAsksForWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
	undisturbed := uneven(t, nil)
	must(t, dapoArgs(undisturbed, whole, "--steps", "1")...)
	want := streams(t, undisturbed.Requests(completions))
	if len(want) < 2*8*4 {
		t.Fatalf("%d samples were asked for: there was no second batch", len(want))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var server *openaitest.Server
	server = uneven(t, func(o *openaitest.Options) {
		script := o.Script
		o.Script = func(prompt []int32, seed int64) []int32 {
			if len(streams(t, server.Requests(completions))) > (8+3)*4 {
				cancel()
			}
			return script(prompt, seed)
		}
	})
	r := justrl(ctx, t, dapoArgs(server, cut, "--steps", "1", "--set", "sampling.concurrency=1")...)
	if r.code != cli.ExitInterrupted {
		t.Fatalf("exit code %d: %s", r.code, r.lastLine())
	}
	left := bytes.Count(content(t, filepath.Join(cut, "rollouts", "step-000000.partial.jsonl")), []byte("\n"))
	if left < (8+2)*4 || left > (8+4)*4 {
		t.Fatalf("%d rollouts were kept, want those of a batch and three rows or so", left)
	}
	before := len(server.Requests(completions))
	must(t, "run", "--resume", "--server", server.URL, "--out", cut)
	if asked := streams(t, server.Requests(completions)[before:]); len(asked) != len(want)-left {
		t.Errorf("the resumed run asked for %d samples, want %d", len(asked), len(want)-left)
	}
	sameRun(t, whole, cut, 1)
}

// Problems that teach nothing end the run with what to do.
func TestDynamicRunOfProblemsThatTeachNothing(t *testing.T) {
	server := scripted(t, func(o *openaitest.Options) {
		script := o.Script
		o.Script = func(prompt []int32, _ int64) []int32 { return script(prompt, 1) } // always wrong
	})
	out := filepath.Join(t.TempDir(), "run")
	r := justrl(t.Context(), t, dapoArgs(server, out, "--steps", "1", "--set", "sampling.max_batches=2")...)
	for _, w := range []string{"too few groups to learn from", "0 of the 16 rows drawn", "sampling.max_batches"} {
		if r.code != cli.ExitFailed || !strings.Contains(r.lastLine(), w) {
			t.Errorf("exit code %d, last line %q; want %d and %q", r.code, r.lastLine(), cli.ExitFailed, w)
		}
	}
}
