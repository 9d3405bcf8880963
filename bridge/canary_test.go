package bridge

import (
	"math"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// around is the evidence of one load in a test: where trainer and server went.
type around struct {
	sha           string // of the new snapshot; "a" is the one that is live
	trainer       logprobs
	before, after logprobs // before is nil for what the server answered last
	sums          *Checksums
	cache         *float64
}

func (a around) evidence(c *canary) evidence {
	e := evidence{before: a.before, after: a.after, trainer: a.trainer, checksums: a.sums, cache: a.cache}
	if e.before == nil {
		e.before = c.last
	}
	return e
}

// Each part, on servers whose noise is known.
func TestJudge(t *testing.T) {
	s := newSpace(1)
	none := make(diffs, probeTokens)
	still, other, third := s.bf16(), s.bf16(), s.bf16()
	exact := s.begun(t, none, none)   // float32 on both sides
	bf16 := s.begun(t, still, still)  // differs from the trainer, and is always the same
	shaky := s.begun(t, still, other) // differs from itself too
	// One whose two first scorings were nearly the same.
	calm := s.begun(t, still, s.near(still, 1e-4))
	wavering := &canary{server: "http://fake", limits: Limits{}.withDefaults()}
	at := s.at
	if _, err := wavering.begin(exact.live, [2]logprobs{at(0, 0), at(0, 0)}, [2]logprobs{at(0, 0).plus(still), at(0, 0).plus(other)}); err != nil {
		t.Fatal(err)
	}
	moved := func(x float64) logprobs { return at(x, 0).plus(still) }
	spike := make(diffs, probeTokens)
	spike[7] = 0.02
	of := func(x float64) *float64 { return &x }

	for _, c := range []struct {
		name  string
		on    *canary
		load  around
		part  Part   // that fails; "" if all pass
		seen  string // in its error
		tells []Part // inconclusive
	}{
		// own: the weights differ.
		{"a right server", exact, around{sha: "b", trainer: at(0.01, 0), after: at(0.01, 0)}, "", "", nil},
		{"old weights", exact, around{sha: "b", trainer: at(0.01, 0), after: at(0, 0)}, PartOwn,
			"still answers with version 1's weights: 240 of its 240 probe log-probs are bit-equal although the snapshot differs and the trainer's moved by 0.01 nats", nil},
		{"old weights, after a step that can just be told", exact, around{sha: "b", trainer: at(3e-6, 0), after: at(0, 0)}, PartOwn, "still answers", nil},
		{"a step that cannot be told", exact, around{sha: "b", trainer: at(1e-6, 0), after: at(0, 0)}, "", "", []Part{PartOwn, PartDirection}},
		{"other weights, and the trainer did not move at all", exact, around{sha: "b", trainer: at(0, 0), after: at(0, 0)}, "", "", []Part{PartOwn, PartDirection}},
		{"a step that only the server shows", exact, around{sha: "b", trainer: at(0, 0), after: at(1e-6, 0)}, "", "", []Part{PartOwn, PartDirection}},
		{"a step beyond the noise that only the server shows", exact, around{sha: "b", trainer: at(0, 0), after: at(3e-6, 0)}, "", "", []Part{PartDirection}},
		{"a last bit moved, and the trainer by more than a server that follows could hide", exact, around{sha: "b", trainer: at(1e-5, 0), after: at(0, 1e-6)}, PartOwn, "the others moved by ", nil},
		{"a last bit moved, and checksums that stay", exact, around{sha: "b", trainer: at(3e-6, 0), after: at(0, 1e-6), sums: &Checksums{Equal: 3}}, PartOwn, "checksums of its 3 tensors", nil},
		{"checksums that stay, and a step too small to be told", exact, around{sha: "b", trainer: at(1e-6, 0), after: at(0, 1e-6), sums: &Checksums{Equal: 3}}, "", "", []Part{PartOwn, PartDirection}},
		{"a step that only the checksums show", exact, around{sha: "b", trainer: at(6e-6, 0), after: at(0, 0), sums: &Checksums{Changed: 1, Equal: 2}}, "", "", []Part{PartDirection}},
		{"checksums bear a lie out", exact, around{sha: "b", trainer: at(6e-6, 0), after: at(0, 0), sums: &Checksums{Equal: 3, Hidden: 4}}, PartOwn,
			"; the checksums of its 3 tensors that have one are unchanged too", nil},
		{"changed checksums do not excuse old log-probs", exact, around{sha: "b", trainer: at(0.01, 0), after: at(0, 0), sums: &Checksums{Changed: 1}}, PartDirection, "is 0.00", nil},
		{"bf16: old weights within its rounding", bf16, around{sha: "b", trainer: at(0.01, 0), after: moved(0)}, "", "", []Part{PartOwn, PartDirection}},
		{"bf16: old weights beyond its rounding", bf16, around{sha: "b", trainer: at(0.03, 0), after: moved(0)}, PartOwn, "240 of its 240", nil},
		{"a trainer that wavers, and a server whose rounding hides the step", wavering, around{sha: "b", trainer: at(0, 0).plus(third), after: at(0, 0)}, "", "", []Part{PartOwn, PartDirection}},
		{"shaky: old weights in its own noise", shaky, around{sha: "b", trainer: at(0.03, 0), after: at(0, 0).plus(still)}, "", "", []Part{PartOwn, PartDirection}},

		// own: the weights are the same.
		{"the same snapshot", exact, around{sha: "a", trainer: at(0, 0), after: at(0, 0), sums: &Checksums{Equal: 3}}, "", "", nil},
		{"the same snapshot, and a last bit moved", exact, around{sha: "a", trainer: at(0, 0), after: at(1e-7, 0), sums: &Checksums{Equal: 3}}, "", "", []Part{PartOwn}},
		{"the same snapshot, and more than a last bit", exact, around{sha: "a", trainer: at(0, 0), after: at(1e-5, 0)}, PartOwn, "it loaded something else", nil},
		{"the same snapshot, other checksums", exact, around{sha: "a", trainer: at(0, 0), after: at(0, 0), sums: &Checksums{Equal: 1, Changed: 2}}, PartOwn,
			"yet 2 of its tensors changed their checksum", nil},
		{"the same snapshot on a shaky server", shaky, around{sha: "a", trainer: at(0, 0), after: at(0, 0).plus(still)}, "", "", nil},
		{"results that turn out not to depend on the weights alone", calm, around{sha: "a", trainer: at(0, 0), after: at(0, 0.02).plus(still)}, "", "", []Part{PartOwn}},
		{"the same snapshot, and more than noise can be", calm, around{sha: "a", trainer: at(0, 0), after: at(0, 0.2).plus(still)}, PartOwn, "it loaded something else", nil},

		// idle.
		{"changed between two loads", exact, around{sha: "b", trainer: at(0.01, 0), before: at(0, 0.1), after: at(0.01, 0)}, PartIdle,
			"between the load of version 1 and now its log-probs moved by 0.1 nats", nil},
		{"bf16: changed between two loads", bf16, around{sha: "b", trainer: at(0.01, 0), before: at(0, 0.1).plus(still), after: moved(0.01)}, PartIdle, "not version 1's", nil},
		{"shaky: only its noise between two loads", shaky, around{sha: "b", trainer: at(0.01, 0), before: at(0, 0).plus(still), after: at(0.01, 0).plus(other)}, "", "", []Part{PartOwn, PartDirection}},

		// direction.
		{"away from the trainer", exact, around{sha: "b", trainer: at(0.01, 0), after: at(-0.01, 0)}, PartDirection, "is -1.00, want about 1 and at least 0.5", nil},
		{"somewhere else", exact, around{sha: "b", trainer: at(0.01, 0), after: at(0, 0.01)}, PartDirection, "0.00, want about 1", nil},
		{"bf16: a right server", bf16, around{sha: "b", trainer: at(0.1, 0), after: moved(0.1)}, "", "", nil},
		{"bf16: most of the way, as rounding may have it", bf16, around{sha: "b", trainer: at(0.1, 0), after: moved(0.06)}, "", "", nil},
		{"bf16: less than half of the way", bf16, around{sha: "b", trainer: at(0.1, 0), after: moved(0.04)}, PartDirection, "is 0.40", nil},
		{"bf16: too small a step for its direction", bf16, around{sha: "b", trainer: at(0.05, 0), after: moved(-0.01)}, "", "", []Part{PartOwn, PartDirection}},

		// agreement.
		{"the trainer's movement, and another", exact, around{sha: "b", trainer: at(0.2, 0), after: at(0.2, 0.5)}, PartAgreement, "in the median (limit 1e-05)", nil},
		{"every token is a little off", exact, around{sha: "b", trainer: at(0.2, 0), after: at(0.2, 1e-4)}, PartAgreement, "in the median (limit 1e-05)", nil},
		{"one token is off", exact, around{sha: "b", trainer: at(0.2, 0), after: at(0.2, 0).plus(spike)}, PartAgreement, "0.02 at most (limit 0.001)", nil},
		{"bf16: one token is off, as any may be", bf16, around{sha: "b", trainer: at(0.2, 0), after: moved(0.2).plus(spike)}, "", "", nil},
		{"bf16: more than at the start", bf16, around{sha: "b", trainer: at(0.2, 0), after: at(0.2, 0.2).plus(still)}, PartAgreement, "at the start it was", nil},

		// cache.
		{"through an empty cache", exact, around{sha: "b", trainer: at(0.01, 0), after: at(0.01, 0), cache: of(5e-5)}, "", "", nil},
		{"through an old cache", exact, around{sha: "b", trainer: at(0.01, 0), after: at(0.01, 0), cache: of(2e-4)}, PartCache,
			"it answers from a prefix cache of older weights: through the cache its log-probs differ from those computed afresh by up to 0.0002 nats", nil},
		{"bf16: through an empty cache", bf16, around{sha: "b", trainer: at(0.1, 0), after: moved(0.1), cache: of(0.1)}, "", "", nil},
		{"bf16: through an old cache", bf16, around{sha: "b", trainer: at(0.1, 0), after: moved(0.1), cache: of(0.3)}, PartCache, "by up to 0.3 nats", nil},
		{"a cache that gives no number", exact, around{sha: "b", trainer: at(0.01, 0), after: at(0.01, 0), cache: of(math.NaN())}, PartCache, "NaN", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			canary := *c.on
			e := c.load.evidence(&canary)
			snapshot := Snapshot{Version: 2, SHA256: c.load.sha}
			r, err := canary.judge(snapshot, e)
			if c.part != "" {
				caught(t, err, 2, c.part, c.seen)
				if !reflect.DeepEqual(canary, *c.on) {
					t.Error("the baselines moved although it failed")
				}
				return
			}
			if err != nil {
				t.Fatalf("%v (%+v)", err, r)
			}
			if diff := cmp.Diff(c.tells, r.Inconclusive); diff != "" {
				t.Errorf("inconclusive (-want +got):\n%s", diff)
			}
			if canary.live != snapshot || canary.last.equalTokens(e.after) != probeTokens {
				t.Errorf("live is %+v", canary.live)
			}
		})
	}
}

func TestChecksumsOfNothingSayNothing(t *testing.T) {
	if got := checksumsSay(nil) + checksumsSay(&Checksums{Hidden: 4}); got != "" {
		t.Errorf("say %q", got)
	}
}

// The numbers of a report, against sums done by hand.
func TestJudgeReports(t *testing.T) {
	c := &canary{limits: Limits{StartMedian: 9, StartMax: 9, MedianFactor: 9, MaxFactor: 9, MinDirection: 0.5}}
	at := logprobs{-1, -2, -3, -4}
	if _, err := c.begin(Snapshot{SHA256: "a"}, [2]logprobs{{-1, -2.25, -3.25, -4.5}, {-1, -2.25, -3.25, -4}}, [2]logprobs{at, at}); err != nil {
		t.Fatal(err)
	}
	if want := (Noise{Median: 0.125, RMS: math.Sqrt(0.125 / 4), Max: 0.25, Repeat: 0.5, RepeatRMS: 0.25}); c.noise != want {
		t.Errorf("noise %+v, want %+v", c.noise, want)
	}
	cache, sums := 0.125, &Checksums{Changed: 1, Hidden: 2}
	r, err := c.judge(Snapshot{SHA256: "b"}, evidence{
		before: logprobs{-1, -2.25, -3, -4}, after: logprobs{-3, -2.25, -6, -4}, trainer: logprobs{-4, -2, -7, -4},
		checksums: sums, cache: &cache,
	})
	if err != nil {
		t.Fatal(err)
	}
	slope := (-2.*-3 + -2.75*-4) / (9 + 16.)
	want := ServerReport{
		Tokens: 4, EqualTokens: 2, IdleShift: 0.25, ServerMoved: math.Sqrt((4 + 9) / 4.), TrainerMoved: 2.5, Direction: &slope,
		DiffMedian: 0.625, DiffMax: 1, CacheDiffMax: &cache, Checksums: sums,
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
