package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/benchmarks/judge"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openai"
	"github.com/justrl/justrl/sampler/openaitest"
)

// everyPair is what has to be asked for.
func everyPair(e *Evaluation) []string {
	var out []string
	for _, c := range e.Cells {
		for _, seed := range Seeds(e.Sampling.Seed, c.Set, c.N) {
			for _, p := range c.Problems {
				prompt, _ := c.Template.Prompt(p.Question)
				out = append(out, key(prompt, seed))
			}
		}
	}
	return out
}

func TestEvaluation(t *testing.T) {
	server, store := answers(t, nil), &memory{}
	e := evaluation(fleet(t, server.URL), store, 5, 4)
	var news, verdicts atomic.Int64
	e.OnAnswer = func(*Cell, benchmarks.Generation) { news.Add(1) }
	e.OnVerdict = func(*Cell, benchmarks.Verdict) { verdicts.Add(1) }
	results, err := e.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, want := asked(t, server), everyPair(e)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("asked %q\nwant %q", got, want)
	}
	if len(store.all) != 20 || store.open != 0 || news.Load() != 20 || verdicts.Load() != 20 || len(results) != 1 || len(results[0].Verdicts) != 20 {
		t.Fatalf("%d stored, %d open, told of %d answers and %d verdicts, %d results", len(store.all), store.open, news.Load(), verdicts.Load(), len(results))
	}
	perProblem := map[int]int{}
	for _, g := range store.all {
		v := results[0].Verdicts[g.ExampleID*4+perProblem[g.ExampleID]]
		perProblem[g.ExampleID]++
		right := g.Seed%2 == 0
		if v.ExampleID != g.ExampleID || v.Sample != perProblem[g.ExampleID]-1 || v.Seed != g.Seed || v.Correct != right || v.By != benchmarks.ByRule || v.Truth != g.Answer {
			t.Errorf("verdict %+v for %+v", v, g)
		}
		if g.FinishReason != "stop" || g.Tokens == 0 || !strings.HasPrefix(g.Prompt, "What is ") || !strings.HasSuffix(g.Prompt, `? Please reason step by step, and put your final answer within \boxed{}.`) {
			t.Errorf("generation %+v", g)
		}
	}
	body := string(server.Requests(path)[0].Body)
	for _, part := range []string{`"temperature":0.7`, `"top_p":0.9`, `"max_tokens":100`, `"top_k":-1`, `"stream":true`, `"n":1`, `"role":"user"`} {
		if !strings.Contains(body, part) {
			t.Errorf("%s is not in %s", part, body)
		}
	}
}

// However often it is stopped, it asks for every pair once, and no more.
func TestEvaluationGoesOn(t *testing.T) {
	server, store := answers(t, nil), &memory{}
	var e *Evaluation
	stop := errors.New("stop")
	for rounds := 0; ; rounds++ {
		if rounds > 20 {
			t.Fatal("it does not come to an end")
		}
		e = evaluation(fleet(t, server.URL), store, 6, 5)
		ctx, cancel := context.WithCancelCause(t.Context())
		var n atomic.Int64
		e.OnAnswer = func(*Cell, benchmarks.Generation) {
			if n.Add(1) == 7 {
				cancel(stop)
			}
		}
		known := -1
		e.OnKnown = func(_ *Cell, n int) { known = n }
		before := len(store.all)
		results, err := e.Run(ctx)
		cancel(nil)
		if known != before {
			t.Errorf("told of %d known answers, there were %d", known, before)
		}
		if err == nil {
			if len(results[0].Verdicts) != 30 {
				t.Errorf("%d verdicts", len(results[0].Verdicts))
			}
			for i, v := range results[0].Verdicts {
				if v.ExampleID != i/5 || v.Sample != i%5 || v.Truth == "" {
					t.Errorf("verdict %d is %+v", i, v)
				}
			}
			break
		}
		if !errors.Is(err, stop) || results != nil || store.open != 0 {
			t.Fatalf("error %v, results %v, %d stores open", err, results, store.open)
		}
	}
	var stored []string
	for _, g := range store.all {
		stored = append(stored, key(g.Prompt, g.Seed))
	}
	want := everyPair(e)
	slices.Sort(stored)
	slices.Sort(want)
	if !slices.Equal(stored, want) {
		t.Errorf("stored %q\nwant %q", stored, want)
	}
	// Nothing that was stored was asked for again: the rest is what was cut off under way.
	if n := len(asked(t, server)); n > 30+4*5 {
		t.Errorf("%d requests for 30 answers", n)
	}
}

func TestCells(t *testing.T) {
	server := answers(t, nil)
	a, b, other := &memory{}, &memory{}, &memory{}
	e := evaluation(fleet(t, server.URL), a, 2, 2)
	again, err := ReadTemplate(write(t, "short.txt", "{{question}} Briefly."))
	if err != nil {
		t.Fatal(err)
	}
	e.Cells = append(e.Cells,
		&Cell{Set: "Sums", Template: again, Problems: problems(2), N: 2, Open: b.opener},
		&Cell{Set: "Other", Problems: problems(3), N: 1, Open: other.opener})
	results, err := e.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{4, 4, 3} {
		if len(results[i].Verdicts) != n || results[i].Cell != e.Cells[i] {
			t.Errorf("result %d has %d verdicts", i, len(results[i].Verdicts))
		}
	}
	if len(a.all) != 4 || len(b.all) != 4 || len(other.all) != 3 {
		t.Errorf("stored %d, %d, %d", len(a.all), len(b.all), len(other.all))
	}
	seeds := func(m *memory) map[int64]bool {
		out := map[int64]bool{}
		for _, g := range m.all {
			out[g.Seed] = true
		}
		return out
	}
	if fmt.Sprint(seeds(a)) != fmt.Sprint(seeds(b)) {
		t.Error("two templates have other seeds")
	}
}

func TestEvaluationRefusesStores(t *testing.T) {
	good := benchmarks.Generation{ExampleID: 0, Prompt: `What is 0 + 0? Please reason step by step, and put your final answer within \boxed{}.`, Answer: "0", Seed: Seeds(3, "Sums", 2)[1]}
	for _, c := range []struct {
		name   string
		change func(*benchmarks.Generation)
		want   string
	}{
		{"another seed", func(g *benchmarks.Generation) { g.Seed++ }, "--seed"},
		{"another problem", func(g *benchmarks.Generation) { g.ExampleID = 7 }, "no problem 7"},
		{"another prompt", func(g *benchmarks.Generation) { g.Prompt = "x" }, "another prompt"},
		{"another truth", func(g *benchmarks.Generation) { g.Answer = "x" }, "another answer"},
		{"twice", func(*benchmarks.Generation) {}, "two answers of seed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := answers(t, nil)
			bad := good
			c.change(&bad)
			store := &memory{all: []benchmarks.Generation{good, bad}}
			_, err := evaluation(fleet(t, server.URL), store, 3, 2).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || len(server.Requests(path)) != 0 {
				t.Errorf("error %v after %d requests, want %q", err, len(server.Requests(path)), c.want)
			}
		})
	}
}

func TestEvaluationFails(t *testing.T) {
	full := errors.New("disk full")
	t.Run("store", func(t *testing.T) {
		store := &memory{fail: full}
		if _, err := evaluation(fleet(t, answers(t, nil).URL), store, 3, 2).Run(t.Context()); !errors.Is(err, full) || store.open != 0 {
			t.Errorf("error %v, %d open", err, store.open)
		}
	})
	t.Run("a server that stops midway", func(t *testing.T) {
		server, store := answers(t, nil), &memory{}
		e := evaluation(fleet(t, server.URL), store, 4, 4)
		var n atomic.Int64
		var pool errgroup.Group
		e.OnAnswer = func(*Cell, benchmarks.Generation) {
			if n.Add(1) == 5 {
				pool.Go(func() error { server.Close(); return nil }) // it waits for requests under way
			}
		}
		e.Asker.(*Fleet).Retry.Patience = 1
		_, err := e.Run(t.Context())
		_ = pool.Wait()
		if !endpoint.Retryable(err) || !strings.Contains(err.Error(), "Sums: problem ") || strings.Contains(err.Error(), "\n") || len(store.all) < 5 {
			t.Errorf("error %v, %d stored", err, len(store.all))
		}
	})
	t.Run("a prompt that does not fit", func(t *testing.T) {
		server := answers(t, func(o *openaitest.Options) { o.MaxModelLen = 20 })
		_, err := evaluation(fleet(t, server.URL), &memory{}, 1, 1).Run(t.Context())
		var status *endpoint.StatusError
		if !errors.As(err, &status) || !strings.Contains(err.Error(), "maximum context length is 20") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("nonsense settings", func(t *testing.T) {
		e := evaluation(fleet(t, answers(t, nil).URL), &memory{}, 1, 1)
		e.Concurrency = 0
		if _, err := e.Run(t.Context()); err == nil {
			t.Error("no error")
		}
	})
}

// jury says what it is told to, and remembers what it was asked.
type jury struct {
	says string
	err  error
	seen chan string
}

func (j *jury) Judge(_ context.Context, question, truth, response string) (string, error) {
	j.seen <- question + "|" + truth + "|" + response
	return j.says, j.err
}

// The judge is asked about exactly what the rules reject.
func TestJudgeIsAskedAboutTheRejected(t *testing.T) {
	for _, c := range []struct {
		says    string
		correct bool
	}{{judge.Correct, true}, {judge.Incorrect, false}, {judge.Invalid, false}, {judge.Nonsense, false}} {
		server, store := answers(t, nil), &memory{}
		e := evaluation(fleet(t, server.URL), store, 6, 6)
		j := &jury{says: c.says, seen: make(chan string, 100)}
		e.Grader.Judge = j
		results, err := e.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		close(j.seen)
		var seen, want []string
		for s := range j.seen {
			seen = append(seen, s)
		}
		for _, g := range store.all {
			if g.Seed%2 != 0 {
				want = append(want, fmt.Sprintf("What is %d + %d?|%s|%s", g.ExampleID, g.ExampleID, g.Answer, g.Response))
			}
		}
		slices.Sort(seen)
		slices.Sort(want)
		if !slices.Equal(seen, want) || len(want) == 0 {
			t.Errorf("asked about %q\nwant %q", seen, want)
		}
		for _, v := range results[0].Verdicts {
			wrong := v.Seed%2 != 0
			if wrong && (v.By != benchmarks.ByJudge || v.Judgement != c.says || v.Correct != c.correct) ||
				!wrong && (v.By != benchmarks.ByRule || v.Judgement != "" || !v.Correct) {
				t.Errorf("judge says %s: %+v", c.says, v)
			}
		}
	}
}

// broken fails as it is told to.
type broken struct{ err error }

func (b broken) Verify(context.Context, string, string) (sampler.Score, error) {
	return sampler.Score{}, b.err
}

func TestVerifierFails(t *testing.T) {
	server := answers(t, nil)
	slow := fmt.Errorf("pair: %w", sampler.ErrVerifyTimeout)
	e := evaluation(fleet(t, server.URL), &memory{}, 10, 4)
	e.Grader = &grade.Grader{Verifier: grade.Limit(broken{slow}, 1, 0), MaxErrors: 0.05}
	results, err := e.Run(t.Context())
	if err != nil {
		t.Fatalf("answers that take too long are answers: %v", err)
	}
	for _, v := range results[0].Verdicts {
		if v.Correct || v.Error != slow.Error() || v.By != benchmarks.ByRule {
			t.Errorf("%+v", v)
		}
	}
	dead, store := errors.New("no Python"), &memory{}
	e = evaluation(fleet(t, server.URL), store, 10, 4)
	e.Grader = &grade.Grader{Verifier: grade.Limit(broken{dead}, 1, 0), MaxErrors: 0.05, Judge: &jury{says: judge.Correct, seen: make(chan string, 100)}}
	if _, err := e.Run(t.Context()); !errors.Is(err, dead) || !strings.Contains(err.Error(), "21 of ") {
		t.Errorf("a verifier that always fails: %v", err)
	}
	if len(store.all) < 21 {
		t.Errorf("%d answers are stored", len(store.all))
	}
	e = evaluation(fleet(t, server.URL), &memory{}, 2, 1)
	e.Grader = &grade.Grader{Verifier: grade.Limit(equal{}, 1, 0), Judge: &jury{err: dead, seen: make(chan string, 100)}}
	e.Sampling.Seed = 1 // an odd repeat
	for Seeds(e.Sampling.Seed, "Sums", 1)[0]%2 == 0 {
		e.Sampling.Seed++
	}
	if _, err := e.Run(t.Context()); !errors.Is(err, dead) {
		t.Errorf("a judge that fails: %v", err)
	}
}

// crowd counts how many are asked at once.
type crowd struct {
	now, most atomic.Int64
	turn      chan struct{}
}

func (c *crowd) Ask(ctx context.Context, _ openai.ChatRequest) (openai.Answer, error) {
	c.most.Store(max(c.most.Load(), c.now.Add(1)))
	defer c.now.Add(-1)
	select {
	case <-c.turn:
		return openai.Answer{Text: "x", FinishReason: "stop"}, nil
	case <-ctx.Done():
		return openai.Answer{}, ctx.Err()
	}
}

func TestConcurrency(t *testing.T) {
	c := &crowd{turn: make(chan struct{})}
	e := evaluation(c, &memory{}, 100, 20)
	e.Concurrency = 1000
	ready := make(chan error, 1)
	var pool errgroup.Group
	pool.Go(func() error {
		_, err := e.Run(t.Context())
		ready <- err
		return nil
	})
	for c.now.Load() < 1000 { // 2,000 are to be asked, 1,000 at once
		select {
		case err := <-ready:
			t.Fatal(err)
		default:
		}
	}
	for range 2000 {
		c.turn <- struct{}{}
	}
	_ = pool.Wait()
	if err := <-ready; err != nil || c.most.Load() > 1000 {
		t.Errorf("%d at once (%v)", c.most.Load(), err)
	}
}
