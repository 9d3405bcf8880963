package report

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/internal/webpage/webpagetest"
	"github.com/justrl/justrl/orchestrator/journal"
)

// attacks would each leave their place in the page, were they not escaped.
var attacks = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' autofocus onfocus=alert(1) x='`, `</style><style>*{display:none}</style>`,
	`</div></details></section><h1>other</h1>`, `<!--`, `-->`, `]]>`, `&lt;b&gt;&amp;`, `{{.Style}}`, `<svg onload=alert(1)>`, `<base href="http://example.org/">`,
	`<meta http-equiv="refresh" content="0;url=http://example.org/">`, "\u202eright to left", "nul \x00 bell \a escape \x1b[31m", "\r\n\r", `\boxed{<b>1</b>}`,
	"\u2028\u2029\ufeff", strings.Repeat("W", 5000), strings.Repeat("\n", 300), `<a href="javascript:alert(1)">x</a>`, `<iframe src="http://example.org/"></iframe>`,
}

// hostile writes a run all of whose texts are attacks.
func hostile(t testing.TB, dir string) {
	t.Helper()
	fixture(t, dir)
	all := strings.Join(attacks, " ")
	info := fixtureInfo()
	info.ID, info.Version, info.Go, info.Host, info.Model, info.Servers = all, all, all, all, "/m/"+all, attacks
	write(t, dir, "run.json", indented(t, info))
	write(t, dir, "config.yaml", append(fixtureConfig(t, 6), []byte("# "+strings.ReplaceAll(all, "\n", " ")+"\n")...))
	// Names of sets are names of files: no slash, no NUL, no more than 255 bytes.
	set := `"><script>alert(1)<_script><img src=x onerror=alert(1)>'&`
	acc := map[string]float64{set: 0.5, "heldout": 0.25}
	write(t, dir, "validation.jsonl", lines(t, []journal.Validation{{Steps: 0, Accuracy: acc, Sampled: acc}, {Steps: 6, Accuracy: acc, Sampled: acc}}))
	write(t, dir, "summary.json", indented(t, journal.Summary{Steps: 6, WeightsSHA256: all, Model: all}))
	var before, after []journal.Answer
	for i, a := range append(attacks, all) {
		text := a + " " + fmt.Sprintf(`so \boxed{%d %s`, i, a) + "}"
		b := journal.Answer{ProblemID: a, Question: a, GroundTruth: a, Text: text, FinishReason: a}
		after = append(after, b)
		b.Correct = i%2 == 0
		before = append(before, b)
		after[i].Correct = i%3 == 0
	}
	for _, name := range []string{set, "heldout"} {
		write(t, dir, "eval/step-000000/"+name+".jsonl", lines(t, before))
		write(t, dir, "eval/step-000006/"+name+".jsonl", lines(t, after))
	}
}

func TestHostileRun(t *testing.T) {
	dir := t.TempDir()
	hostile(t, dir)
	check := func(t *testing.T, wants ...string) {
		page := pageOf(t, dir)
		webpagetest.WellFormed(t, page, webpage.StyleSheet, nil)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not show %q as text", want)
			}
		}
		for _, not := range []string{"\x00", `="http:`} {
			if strings.Contains(page, not) {
				t.Errorf("the page has %q", not)
			}
		}
	}
	escaped := []string{"&lt;script&gt;alert(1)&lt;/script&gt;", "&amp;lt;b&amp;gt;&amp;amp;", "{{.Style}}", "&lt;/style&gt;&lt;style&gt;"}
	t.Run("answers", func(t *testing.T) {
		check(t, append(escaped, "Answers before and after")...)
	})
	t.Run("rollouts", func(t *testing.T) {
		if err := os.RemoveAll(dir + "/eval"); err != nil {
			t.Fatal(err)
		}
		var all []journal.Rollout
		for i, a := range attacks {
			all = append(all, journal.Rollout{ProblemID: a, Text: a, FinishReason: a, Reward: float64(i%2) - 0.5})
		}
		write(t, dir, "rollouts/step-000000.jsonl", lines(t, all))
		check(t, append(escaped, "Answers sampled for training")...)
	})
}

// Whatever stands in a run directory: an error, or a page of nothing but the template's elements.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"step":0,"critic/score/mean":-0.5,"actor/lr":1e-6,"canary":{"passed":true}}`+"\n"), []byte(`{"steps":0,"accuracy":{"a":0.5}}`+"\n"),
		[]byte(`{"problem_id":"p","text":"\\boxed{1}","correct":true}`+"\n"), []byte(`{"steps":1}`), []byte("steps: 3\n"))
	f.Add([]byte("{\"step\":1e308}\n{\"step\":-1e308,\"timing_s/step\":1e300}\n"), []byte("null\n"), []byte("[]\n"), []byte("null"), []byte("- - x: ? !"))
	f.Add([]byte("{\"step\":0,\"mismatch/ratio_max\":1e-320,\"actor/ppo_kl\":5e-324}\n"), []byte("{\"steps\":-9223372036854775808,\"sampled\":{\"\":1e300}}\n"), []byte("{}\n{}\n"), []byte(`{"steps":-1,"wall_s":1e300}`), []byte("validation: {temperature: .inf}"))
	f.Fuzz(func(t *testing.T, steps, validation, answers, summary, config []byte) {
		dir := t.TempDir()
		write(t, dir, "run.json", []byte(`{"id":"x"}`))
		write(t, dir, "steps.jsonl", steps)
		write(t, dir, "validation.jsonl", validation)
		write(t, dir, "summary.json", summary)
		write(t, dir, "config.yaml", config)
		write(t, dir, "eval/step-000000/a.jsonl", answers)
		write(t, dir, "eval/step-000001/a.jsonl", answers)
		write(t, dir, "rollouts/step-000000.jsonl", answers)
		var b strings.Builder
		if err := Write(dir, &b); err != nil {
			if b.Len() > 0 {
				t.Errorf("%v, after %d bytes", err, b.Len())
			}
			return
		}
		page := b.String()
		webpagetest.WellFormed(t, page, webpage.StyleSheet, nil)
		for _, svg := range strings.Split(page, "<svg")[1:] {
			svg, _, _ = strings.Cut(svg, "</svg>")
			for _, c := range []string{"NaN", "Inf"} {
				if _, marks, _ := strings.Cut(svg, ">"); strings.Contains(marks, c) { // the label may quote a name
					t.Errorf("a plot has %s in it: %.300q", c, marks)
				}
			}
		}
	})
}
