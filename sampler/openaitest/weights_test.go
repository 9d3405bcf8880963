package openaitest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/justrl/justrl/sampler/openaitest"
)

func TestReloadChangesThePolicy(t *testing.T) {
	a, b := weights(t, "a"), weights(t, "b")
	fake := openaitest.New(t, openaitest.Options{ModelDir: a})
	first := fake.Policy().Logprobs(prompt)
	if reload(t, fake, b) != http.StatusOK || slices.Equal(fake.Policy().Logprobs(prompt), first) {
		t.Error("other weights have the same log-probs")
	}
	if reload(t, fake, a) != http.StatusOK || !slices.Equal(fake.Policy().Logprobs(prompt), first) {
		t.Error("the same weights have other log-probs")
	}
	fake.Set(func(o *openaitest.Options) { o.KeepOldWeights = true })
	if reload(t, fake, b) != http.StatusOK || !slices.Equal(fake.Policy().Logprobs(prompt), first) {
		t.Error("KeepOldWeights loaded the new ones")
	}
}

// TestFailedReloadKills: as in vLLM, the next generation after a reload that
// failed half way ends the server, unless a good reload comes first.
func TestFailedReloadKills(t *testing.T) {
	a, cut := weights(t, "a"), weights(t, "cut")
	file := filepath.Join(cut, "model.safetensors")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b[:len(b)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	fake := openaitest.New(t, openaitest.Options{ModelDir: a})
	if s := reload(t, fake, cut); s != http.StatusInternalServerError {
		t.Fatalf("a cut file: status %d", s)
	}
	if s := reload(t, fake, a); s != http.StatusOK {
		t.Fatalf("a good reload: status %d", s)
	}
	complete(t, fake, ask{Prompt: prompt, MaxTokens: 1})
	if s := reload(t, fake, cut); s != http.StatusInternalServerError {
		t.Fatalf("a cut file: status %d", s)
	}
	for range 2 {
		if s, body := post(t, fake.URL+"/v1/completions", ask{Prompt: prompt, MaxTokens: 1}); s != http.StatusInternalServerError {
			t.Errorf("generation on half loaded weights: %d %s", s, body)
		}
	}
	resp, err := http.Get(fake.URL + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("health of a dead engine: %d", resp.StatusCode)
	}
}

// TestPrefixCacheGoesStale: a prompt whose whole blocks were cached under the
// old weights is answered by neither policy until the cache is reset.
func TestPrefixCacheGoesStale(t *testing.T) {
	long := slices.Repeat(prompt, 8) // two blocks
	for _, c := range []struct {
		name  string
		o     openaitest.Options
		a     ask
		reset string // path of a request between reload and the second generation
		stale bool
	}{
		{"nothing resets it", openaitest.Options{}, ask{Prompt: long}, "", true},
		{"reset", openaitest.Options{}, ask{Prompt: long}, "/reset_prefix_cache", false},
		{"reset by a pause", openaitest.Options{}, ask{Prompt: long}, "/pause", false},
		{"kept by a pause", openaitest.Options{}, ask{Prompt: long}, "/pause?clear_cache=false", true},
		{"a reset that does nothing", openaitest.Options{KeepOldCache: true}, ask{Prompt: long}, "/reset_prefix_cache", true},
		{"a prompt shorter than a block", openaitest.Options{}, ask{Prompt: prompt}, "", false},
		{"another salt", openaitest.Options{}, ask{Prompt: long, CacheSalt: "fresh"}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.ModelDir, c.o.Step = weights(t, "a"), 1
			fake := openaitest.New(t, c.o)
			first := c.a
			first.CacheSalt, first.MaxTokens = "", 1
			complete(t, fake, first)
			if s := reload(t, fake, weights(t, "b")); s != http.StatusOK {
				t.Fatalf("reload: %d", s)
			}
			for _, path := range []string{c.reset, "/resume"} {
				if path == "" {
					continue
				}
				if s, body := post(t, fake.URL+path, nil); s != http.StatusOK {
					t.Fatalf("%s: %d %s", path, s, body)
				}
			}
			c.a.MaxTokens = 1
			got := complete(t, fake, c.a).Choices[0]
			want := fake.Policy().Logprobs([]int32{22, got.TokenIDs[0]})[0]
			if stale := got.Logprobs.TokenLogprobs[0] != want; stale != c.stale {
				t.Errorf("stale is %v, want %v", stale, c.stale)
			}
		})
	}
}
