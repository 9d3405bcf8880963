package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openai"
	"github.com/justrl/justrl/sampler/openaitest"
)

const path = "/v1/chat/completions"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Store that forgets nothing: opened again, it has what it had.
type memory struct {
	mu   sync.Mutex
	all  []benchmarks.Generation
	fail error
	open int
}

func (m *memory) opener(known func(benchmarks.Generation) error) (Store, error) {
	m.mu.Lock()
	old := m.all
	m.open++
	m.mu.Unlock()
	for _, g := range old {
		if err := known(g); err != nil {
			m.open--
			return nil, err
		}
	}
	return m, nil
}

func (m *memory) Add(g benchmarks.Generation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.all = append(m.all, g)
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
	return nil
}

// problems are "What is i + i?" with their answers.
func problems(n int) []benchmarks.Problem {
	out := make([]benchmarks.Problem, n)
	for i := range out {
		out[i] = benchmarks.Problem{ID: i, Question: fmt.Sprintf("What is %d + %d?", i, i), Answer: fmt.Sprint(2 * i)}
	}
	return out
}

var sum = regexp.MustCompile(`What is (\d+) \+`)

// answers is a server that answers problems, right where the seed is even.
func answers(t *testing.T, change func(*openaitest.Options)) *openaitest.Server {
	t.Helper()
	o := openaitest.Options{MaxModelLen: 2048, Script: func(prompt []int32, seed int64) []int32 {
		n := 0
		if m := sum.FindStringSubmatch(openaitest.Decode(prompt)); m != nil {
			_, _ = fmt.Sscan(m[1], &n)
		}
		return openaitest.Encode(fmt.Sprintf(`So it is \boxed{%d}.<|im_end|>`, 2*n+int(seed%2)))
	}}
	if change != nil {
		change(&o)
	}
	return openaitest.New(t, o)
}

// fleet has the servers of some URLs, found by asking them.
func fleet(t *testing.T, urls ...string) *Fleet {
	t.Helper()
	var servers []*Server
	for _, url := range urls {
		e, err := endpoint.New(url, endpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		s, err := Find(t.Context(), e, "", endpoint.Retry{Tries: 1})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
	}
	f, err := NewFleet(servers...)
	if err != nil {
		t.Fatal(err)
	}
	f.Retry = endpoint.Retry{First: time.Millisecond, Most: time.Millisecond, Patience: time.Second}
	return f
}

// equal is a verifier: the box at the end, as text.
type equal struct{}

func (equal) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	m := regexp.MustCompile(`\\boxed\{(.*)\}`).FindStringSubmatch(text)
	if m == nil {
		return sampler.Score{}, nil
	}
	return sampler.Score{Answer: m[1], Correct: m[1] == truth}, nil
}

// asked are the (prompt, seed) pairs of a server's chat requests, in order.
func asked(t *testing.T, s *openaitest.Server) []string {
	t.Helper()
	var out []string
	for _, r := range s.Requests(path) {
		var body openai.ChatRequest
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		out = append(out, key(body.Messages[0].Content, body.Seed))
	}
	return out
}

func key(prompt string, seed int64) string {
	return fmt.Sprintf("%s %d", strings.TrimSuffix(prompt, ` Please reason step by step, and put your final answer within \boxed{}.`), seed)
}

// evaluation of n answers to each of some problems, in a store that lasts.
func evaluation(asker Asker, store *memory, count, n int) *Evaluation {
	return &Evaluation{
		Asker: asker, Grader: &grade.Grader{Verifier: grade.Limit(equal{}, 1, 0)},
		Cells:    []*Cell{{Set: "Sums", Problems: problems(count), N: n, Open: store.opener}},
		Sampling: Sampling{Temperature: 0.7, TopP: 0.9, MaxTokens: 100, Seed: 3}, Concurrency: 4, Grading: 2,
	}
}
