package monitor

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

func TestBoxes(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       box
	}{
		{"none", "The answer is 7.", box{0, 0, false}},
		{"nothing", "", box{0, 0, true}},
		{"the box alone", ` $\boxed{7}$.`, box{1, 1, true}},
		{"a few words", `So it is \boxed{7}.`, box{1, 3, false}},
		{"words after it", `\boxed{7} is the answer`, box{1, 0, false}},
		{"reasons", `Two and three are five, and two more are seven: \boxed{7}`, box{1, 8, false}},
		{"braces inside", `\boxed{\frac{1}{2}}`, box{1, 0, true}},
		{"never closed", `so \boxed{7`, box{0, 0, false}},
		{"the second never closed", `\boxed{7} \boxed{8`, box{1, 0, false}},
		{"in one another", `\boxed{\boxed{7}}`, box{1, 0, true}},
		{"many", `\boxed{1} \boxed{2}, \boxed{3}; \boxed{4}`, box{4, 3, true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := boxes(tc.text); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

// A megabyte that looks for trouble is read in passing.
func TestBoxesOfHostileTexts(t *testing.T) {
	if got := boxes(strings.Repeat(boxOpen, 150_000)); got.closed != 0 {
		t.Errorf("%+v", got)
	}
	if got := boxes(strings.Repeat(boxOpen+"}", 150_000)); got.closed != 150_000 || !got.bare {
		t.Errorf("%+v", got)
	}
}

func FuzzBoxes(f *testing.F) {
	f.Add(`a \boxed{7} \boxed{8`)
	f.Add(`\boxed{\boxed{}}`)
	f.Add("\xff{\\boxed{}\\boxed}")
	f.Fuzz(func(t *testing.T, text string) {
		b := boxes(text)
		if b.closed > strings.Count(text, boxOpen) || b.words > reasoningWords {
			t.Errorf("%+v of %q", b, text)
		}
		if more := boxes(text + ` \boxed{7}`); b.closed == strings.Count(text, boxOpen) && more.closed != b.closed+1 {
			t.Errorf("one more box: %+v, then %+v of %q", b, more, text)
		}
	})
}

func TestLoops(t *testing.T) {
	count := func(n, period int) []int32 {
		out := make([]int32, n)
		for i := range out {
			out[i] = int32(i % period)
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		tokens []int32
		want   bool
	}{
		{"all new", count(500, 500), false},
		{"one token", count(500, 1), true},
		{"a phrase", count(500, 40), true},
		{"a phrase too long to be one", count(500, 120), false},
		{"only at its end", slices.Concat(count(4000, 4000), count(256, 5)), true},
		{"only at its beginning", slices.Concat(count(4000, 5), count(256, 256)), false},
		{"short", count(63, 1), false},
		{"none", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := loops(tc.tokens); got != tc.want {
				t.Errorf("%t, want %t", got, tc.want)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	if got := Describe(nil); got != (journal.Texts{}) {
		t.Errorf("of nothing: %+v", got)
	}
	answer := func(text, answer string, tokens int) sampler.Rollout {
		o := sampler.Rollout{Text: text, TokenIDs: make([]int32, tokens), Score: sampler.Score{Answer: answer}}
		for i := range o.TokenIDs {
			o.TokenIDs[i] = int32(i)
		}
		return o
	}
	same := "It is one thing after another, and so it must be seven. " // long enough by its tokens
	groups := []sampler.Group{
		{Row: sampler.Row{Problem: sampler.Problem{Answer: "7"}}, Rollouts: []sampler.Rollout{
			answer(`\boxed{7}`, "7", 5), answer(`So \boxed{7}`, "7", 5),
			answer(same+`\boxed{7}`, "7", 200), answer(same+`\boxed{7}`, "7", 200),
		}},
		{Row: sampler.Row{Problem: sampler.Problem{Answer: "8"}}, Rollouts: []sampler.Rollout{
			answer(`\boxed{1}\boxed{2}\boxed{3}\boxed{7}`, "7", 5), answer("I do not know.", "", 5),
			answer("I do not know.", "", 5), answer(strings.Repeat("and ", 300), "", 5),
		}},
	}
	groups[1].Rollouts[3].TokenIDs = make([]int32, 300)
	want := journal.Texts{
		Boxed: 5.0 / 8, NoReasoning: 3.0 / 5, BoxedOnly: 2.0 / 5, ManyBoxes: 1.0 / 5,
		OneAnswer: 5.0/8 - 1.0/2, Copied: 2.0 / 8, Looping: 1.0 / 8,
	}
	if d := cmp.Diff(want, Describe(groups), cmpopts.EquateApprox(0, 1e-12)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// The paper's step: 256 rows, 8 answers of 8,000 tokens each.
func BenchmarkDescribe(b *testing.B) {
	text := strings.Repeat("so we add the two and carry one, ", 900) + `\boxed{7}` // 30 KB
	tokens := make([]int32, 8000)
	for i := range tokens {
		tokens[i] = int32(i * 7919 % 5003)
	}
	groups := make([]sampler.Group, 256)
	for i := range groups {
		for j := range 8 {
			groups[i].Rollouts = append(groups[i].Rollouts, sampler.Rollout{Sample: j, Text: text, TokenIDs: tokens, Score: sampler.Score{Answer: "7"}})
		}
	}
	for b.Loop() {
		if got := Describe(groups); got.Boxed != 1 {
			b.Fatal(got)
		}
	}
}
