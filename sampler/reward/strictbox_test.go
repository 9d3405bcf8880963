package reward

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-json"

	"github.com/justrl/justrl/sampler"
)

func TestStrictBox(t *testing.T) {
	pad := func(n int) string { return strings.Repeat("x", n) }
	wide := func(n int) string { return strings.Repeat("数", n) } // three bytes, one character
	for _, c := range []struct {
		name, text, truth string
		correct           bool
		answer            string
	}{
		{"a boxed answer", `so \boxed{42}.`, "42", true, "42"},
		{"another answer", `so \boxed{43}.`, "42", false, "43"},
		{"no box", `the answer is 42`, "42", false, ""},
		{"empty text", ``, "42", false, ""},
		{"empty text, empty truth: no box is no answer", ``, "", false, ""},
		{"empty box, empty truth", `\boxed{}`, "", true, ""},
		{"the last box counts", `\boxed{42} no, \boxed{7}`, "42", false, "7"},
		{"the last box counts, right", `\boxed{7} no, \boxed{42}`, "42", true, "42"},
		{"nested braces", `\boxed{\frac{1}{2}}`, `\frac{1}{2}`, true, `\frac{1}{2}`},
		{"a box in a box: the inner one is last", `\boxed{a \boxed{42}}`, "42", true, "42"},
		{"never closed", `\boxed{42`, "42", false, ""},
		{"the last is never closed: an earlier one does not count", `\boxed{42} and \boxed{4`, "42", false, ""},
		{"a nested brace is never closed", `\boxed{\frac{1}{2}`, `\frac{1}{2`, false, ""},
		{"backslash does not escape a brace", `\boxed{\{1\}}`, `\{1\}`, true, `\{1\}`},
		{"backslash before one brace unbalances", `\boxed{\}}`, `\`, true, `\`},
		{"spaces count", `\boxed{ 42 }`, "42", false, " 42 "},
		{"no normalisation of numbers", `\boxed{42.0}`, "42", false, "42.0"},
		{"no normalisation of fractions", `\boxed{\dfrac{1}{2}}`, `\frac{1}{2}`, false, `\dfrac{1}{2}`},
		{"no Unicode normalisation", "\\boxed{e\u0301}", "\u00e9", false, "e\u0301"},
		{"case counts", `\boxed{A}`, "a", false, "A"},
		{"a truth that itself has a box cannot be met", `\boxed{204}`, `\boxed{204}`, false, "204"},
		{"a truth that itself has a box, boxed: the inner one is last", `\boxed{\boxed{204}}`, `\boxed{204}`, false, "204"},
		{"fbox is no box", `\fbox{42}`, "42", false, ""},
		{"a space before the brace is no box", `\boxed {42}`, "42", false, ""},
		{"the box just inside the window", `\boxed{42}` + pad(90), "42", true, "42"},
		{"the box's backslash just outside the window", `\boxed{42}` + pad(91), "42", false, ""},
		{"the window counts characters, not bytes", `\boxed{42}` + wide(90), "42", true, "42"},
		{"the window counts characters, not bytes, outside", `\boxed{42}` + wide(91), "42", false, ""},
		{"beyond the window of 300 as well", `\boxed{42}` + pad(400), "42", false, ""},
		{"an answer of exactly the window", `\boxed{` + pad(92) + `}`, pad(92), true, pad(92)},
		{"an answer one longer than the window", `\boxed{` + pad(93) + `}`, pad(93), false, ""},
		{"invalid bytes count as one character each", `\boxed{42}` + strings.Repeat("\xff", 90), "42", true, "42"},
		{"invalid bytes count as one character each, outside", `\boxed{42}` + strings.Repeat("\xff", 91), "42", false, ""},
		{"invalid bytes are compared as they are", "\\boxed{\xff}", "\xff", true, "\xff"},
		{"NUL is a character", "\\boxed{4\x002}", "4\x002", true, "4\x002"},
		{"a special token after the box", `\boxed{42}<|im_end|>`, "42", true, "42"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := StrictBox{}.Verify(t.Context(), c.text, c.truth)
			if err != nil {
				t.Fatal(err)
			}
			want := sampler.Score{Reward: -1, Correct: c.correct, Answer: c.answer}
			if c.correct {
				want.Reward = 1
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestStrictBoxReference compares with verdicts of the official reward function.
func TestStrictBoxReference(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "kits", "kit2_reward_public.jsonl")
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		t.Skipf("SKIPPED: the 500 reference verdicts are not on this machine (%s)", path)
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	n, right := 0, 0
	for lines.Scan() {
		var c struct {
			ID          string  `json:"id"`
			Response    string  `json:"response"`
			GroundTruth string  `json:"ground_truth"`
			Score       float64 `json:"score"`
			Acc         bool    `json:"acc"`
			Pred        *string `json:"pred"`
			Kind        string  `json:"kind"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		n++
		want := sampler.Score{Reward: c.Score, Correct: c.Acc}
		if c.Pred != nil {
			want.Answer = *c.Pred
		}
		if got, err := (StrictBox{}).Verify(t.Context(), c.Response, c.GroundTruth); err != nil || got != want {
			t.Errorf("%s (%s): got %+v, %v; want %+v", c.ID, c.Kind, got, err, want)
			continue
		}
		right++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if n != 500 {
		t.Errorf("%d reference verdicts, want 500", n)
	}
	t.Logf("%d of %d verdicts agree", right, n)
}

func FuzzStrictBox(f *testing.F) {
	for _, s := range []string{`\boxed{42}`, `\boxed{`, "\\boxed{\xff}", `}\boxed{{}`, strings.Repeat("数", 95) + `\boxed{1}`, `\boxed{\boxed{1}`} {
		f.Add(s, "42")
		f.Add(s, "1")
	}
	f.Fuzz(func(t *testing.T, text, truth string) {
		got, err := StrictBox{}.Verify(context.Background(), text, truth)
		if err != nil {
			t.Fatal(err)
		}
		if got.Correct != (got.Reward == 1) || (got.Reward != 1 && got.Reward != -1) {
			t.Errorf("score %+v", got)
		}
		if got.Correct && (got.Answer != truth || !strings.Contains(text, `\boxed{`+truth+`}`)) {
			t.Errorf("accepted %q for truth %q", text, truth)
		}
		// Only the last 100 characters matter.
		tail := text
		if utf8.ValidString(text) {
			r := []rune(text)
			tail = string(r[max(0, len(r)-100):])
		}
		if again, _ := (StrictBox{}).Verify(context.Background(), tail, truth); again != got {
			t.Errorf("the last 100 characters alone give %+v, the whole %+v", again, got)
		}
	})
}
