package judge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
	"github.com/justrl/justrl/sampler/openaitest"
)

// client talks to a server without slowing a test down.
func client(t *testing.T, url string) *openai.Client {
	t.Helper()
	e, err := endpoint.New(url, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return openai.New(e, endpoint.Retry{Tries: 3, First: time.Millisecond})
}

// saying is a server whose model always says the same.
func saying(t *testing.T, text string) *openaitest.Server {
	return openaitest.New(t, openaitest.Options{MaxModelLen: 8192, Script: func([]int32, int64) []int32 { return openaitest.Encode(text + "<|im_end|>") }})
}

func newJudge(t *testing.T, o Options) *Judge {
	t.Helper()
	if o.Model == "" {
		o.Model = "tiny"
	}
	j, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestJudge(t *testing.T) {
	for _, c := range []struct{ says, want string }{
		{"A", Correct}, {"B", Incorrect}, {"C", Invalid}, {" \nA\n ", Correct},
		{"", Nonsense}, {"D", Nonsense}, {"a", Nonsense}, {"CORRECT", Nonsense}, {"A.", Nonsense}, {"A B", Nonsense}, {"The answer is A", Nonsense}, {"?", Nonsense},
	} {
		t.Run(c.says, func(t *testing.T) {
			j := newJudge(t, Options{Client: client(t, saying(t, c.says).URL), MaxTokens: 64})
			got, err := j.Judge(t.Context(), "q", "t", "r")
			if err != nil || got != c.want {
				t.Fatalf("%q, %v, want %q", got, err, c.want)
			}
			want := Stats{Judged: 1, Asked: 1}
			switch c.want {
			case Correct:
				want.Correct = 1
			case Nonsense:
				want.Nonsense = 1
			}
			if s := j.Stats(); s != want || s.NonsenseShare() != float64(want.Nonsense) {
				t.Errorf("stats %+v, want %+v", s, want)
			}
		})
	}
}

// TestBytes pins what is sent: temperature 0 above all, which go-openai alone would drop.
func TestBytes(t *testing.T) {
	tpl, err := Parse("t", "Q<{{question}}> T<{{truth}}> R<{{response}}>")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		empty bool
		tail  int
		want  string
	}{
		{"with the question", false, 0, `Q<1 + 1?> T<2> R<it is é2>`},
		{"without, as the authors", true, 0, `Q<> T<2> R<it is é2>`},
		{"the end of the answer", false, 2, `Q<1 + 1?> T<2> R<é2>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := saying(t, "A")
			j := newJudge(t, Options{Client: client(t, fake.URL), Template: tpl, EmptyQuestion: c.empty, Tail: c.tail})
			if _, err := j.Judge(t.Context(), "1 + 1?", "2", "it is é2"); err != nil {
				t.Fatal(err)
			}
			want := `{"model":"tiny","messages":[{"role":"user","content":"` + c.want + `"}],"n":1,"temperature":0,"top_p":1,"max_tokens":2048,"seed":0,"stop":[],"top_k":-1,"min_p":0,"repetition_penalty":1}`
			if got := string(fake.Requests("")[0].Body); got != want {
				t.Errorf("sent %s\nwant %s", got, want)
			}
		})
	}
}

// What was said once is not asked again: not in this process, not by two at
// once, and, unless it was no verdict, not in the next process.
func TestCache(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{MaxModelLen: 8192, Script: func(prompt []int32, _ int64) []int32 {
		text := openaitest.Decode(prompt)
		return openaitest.Encode(text[strings.Index(text, "says ")+5:][:1] + "<|im_end|>")
	}})
	path := filepath.Join(t.TempDir(), "judge.jsonl")
	short, err := Parse("short", "{{truth}} {{response}}")
	if err != nil {
		t.Fatal(err)
	}
	for process := range 2 {
		cache, err := OpenCache(path)
		if err != nil {
			t.Fatal(err)
		}
		j := newJudge(t, Options{Client: client(t, fake.URL), Template: short, MaxTokens: 8, Cache: cache})
		var pool errgroup.Group
		for range 3 {
			for _, letter := range "ABCx" {
				pool.Go(func() error {
					got, err := j.Judge(t.Context(), "q", "1", "says "+string(letter))
					want := string(letter)
					if want == "x" {
						want = Nonsense
					}
					if err == nil && got != want {
						err = fmt.Errorf("%q, want %q", got, want)
					}
					return err
				})
			}
		}
		if err := pool.Wait(); err != nil {
			t.Fatal(err)
		}
		asked := []int64{4, 1}[process] // the next one asks again what was no verdict
		if s, want := j.Stats(), (Stats{Judged: 12, Asked: asked, Nonsense: 3, Correct: 3}); s != want {
			t.Errorf("process %d: %+v, want %+v", process, s, want)
		}
		if err := cache.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(fake.Requests("")); n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
	// Every part of what is asked is a part of the key.
	cache, err := OpenCache(path)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close() //nolint:errcheck // of a test
	other, err := Parse("other", "{{truth}}: {{response}}")
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func() (*Judge, string, string, string){
		"bound": func() (*Judge, string, string, string) {
			return newJudge(t, Options{Client: client(t, fake.URL), Template: short, MaxTokens: 9, Cache: cache}), "q", "1", "says A"
		},
		"tail": func() (*Judge, string, string, string) {
			return newJudge(t, Options{Client: client(t, fake.URL), Template: short, MaxTokens: 8, Tail: 7, Cache: cache}), "q", "1", "..says A"
		},
		"template": func() (*Judge, string, string, string) {
			return newJudge(t, Options{Client: client(t, fake.URL), Template: other, MaxTokens: 8, Cache: cache}), "q", "1", "says A"
		},
		"question": func() (*Judge, string, string, string) {
			return newJudge(t, Options{Client: client(t, fake.URL), Template: short, MaxTokens: 8, Cache: cache}), "q2", "1", "says A"
		},
		"truth": func() (*Judge, string, string, string) {
			return newJudge(t, Options{Client: client(t, fake.URL), Template: short, MaxTokens: 8, Cache: cache}), "q", "2", "says A"
		},
		"response": func() (*Judge, string, string, string) {
			return newJudge(t, Options{Client: client(t, fake.URL), Template: short, MaxTokens: 8, Cache: cache}), "q", "1", "says A "
		},
	} {
		j, question, truth, response := ask()
		if _, err := j.Judge(t.Context(), question, truth, response); err != nil {
			t.Fatal(err)
		}
		if j.Stats().Asked != 1 {
			t.Errorf("another %s was taken for the same", name)
		}
	}
	if keyOf("m", "t", "q", "a", "b") == keyOf("m2", "t", "q", "a", "b") || keyOf("ab", "c") == keyOf("a", "bc") {
		t.Error("two keys are one")
	}
}

func TestJudgeErrors(t *testing.T) {
	t.Run("its context is too small", func(t *testing.T) {
		fake := openaitest.New(t, openaitest.Options{MaxModelLen: 4096})
		j := newJudge(t, Options{Client: client(t, fake.URL)})
		_, err := j.Judge(t.Context(), "q", "t", strings.Repeat("x", 5000))
		var status *endpoint.StatusError
		if !errors.As(err, &status) || !strings.Contains(err.Error(), "--judge-tail") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v", err)
		}
		if s := j.Stats(); s.Judged != 0 {
			t.Errorf("it counts: %+v", s)
		}
	})
	t.Run("its server is gone", func(t *testing.T) {
		fake := saying(t, "A")
		fake.Close()
		_, err := newJudge(t, Options{Client: client(t, fake.URL)}).Judge(t.Context(), "q", "t", "r")
		var gone *endpoint.UnreachableError
		if !errors.As(err, &gone) || !strings.HasPrefix(err.Error(), "judge: ") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("its server fails for a while", func(t *testing.T) {
		fake := saying(t, "A")
		fake.Inject(openaitest.Fault{Kind: openaitest.FaultStatus, Path: "/v1/chat/completions", Times: 2})
		if got, err := newJudge(t, Options{Client: client(t, fake.URL)}).Judge(t.Context(), "q", "t", "r"); got != Correct || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := newJudge(t, Options{Client: client(t, saying(t, "A").URL)}).Judge(ctx, "q", "t", "r"); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// A judge that talks instead of judging is quoted in the cache.
func TestNonsenseIsQuoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "judge.jsonl")
	cache, err := OpenCache(path)
	if err != nil {
		t.Fatal(err)
	}
	j := newJudge(t, Options{Client: client(t, saying(t, "Well, <b>").URL), Cache: cache})
	if _, err := j.Judge(t.Context(), "q", "t", "r"); err != nil {
		t.Fatal(err)
	}
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	line := string(content(t, path))
	var e entry
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.Said != "Well, <b>" || !strings.Contains(line, "<b>") {
		t.Errorf("line %s (%v)", line, err)
	}
}

func TestNewRefuses(t *testing.T) {
	var c atomicClient
	for _, o := range []Options{{Model: "m"}, {Client: &c}, {Client: &c, Model: "m", Tail: -1}, {Client: &c, Model: "m", MaxTokens: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

type atomicClient struct{ n atomic.Int64 }

func (c *atomicClient) Chat(context.Context, openai.ChatRequest) ([]openai.ChatChoice, error) {
	c.n.Add(1)
	return []openai.ChatChoice{{Text: "A"}}, nil
}

func TestTail(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{{"abc", 0, "abc"}, {"abc", 2, "bc"}, {"abc", 3, "abc"}, {"abc", 4, "abc"}, {"aéü", 2, "éü"}, {"", 2, ""}, {"\xff\xfea", 2, "\xfea"}} {
		if got := tail(c.s, c.n); got != c.want {
			t.Errorf("tail(%q, %d) is %q, want %q", c.s, c.n, got, c.want)
		}
	}
}
