package openaitest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/sampler/openaitest"
)

func TestFaultsStrike(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	fake.Inject(openaitest.Fault{After: 1, Times: 2, Status: http.StatusTeapot})
	fake.Inject(openaitest.Fault{Path: "/version", Times: -1, RetryAfter: 7 * time.Second})
	for i, want := range []int{200, 418, 418, 200, 200} {
		if s, body := post(t, fake.URL+"/v1/completions", ask{Prompt: prompt, MaxTokens: 1}); s != want {
			t.Errorf("request %d: status %d, want %d: %s", i, s, want, body)
		}
	}
	for i, want := range []int{503, 503, 200} {
		if i == 2 {
			fake.Heal()
		}
		resp, err := http.Get(fake.URL + "/version")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if after := resp.Header.Get("Retry-After"); resp.StatusCode != want || (after == "7") != (want == 503) {
			t.Errorf("version %d: status %d, Retry-After %q", i, resp.StatusCode, after)
		}
	}
	if n := len(fake.Requests("/v1/completions")); n != 5 {
		t.Errorf("%d requests recorded, want those that faults struck too: 5", n)
	}
}

func TestFaultsOfTheConnection(t *testing.T) {
	for _, c := range []struct {
		name string
		kind openaitest.FaultKind
		sent bool // an answer begins
	}{
		{"closed without an answer", openaitest.FaultClose, false},
		{"cut in the middle", openaitest.FaultCut, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := openaitest.New(t, openaitest.Options{})
			fake.Inject(openaitest.Fault{Kind: c.kind, Path: "/v1/models"})
			resp, err := http.Get(fake.URL + "/v1/models")
			if (err == nil) != c.sent {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(body) == 0 {
				t.Errorf("read %q, %v", body, err)
			}
		})
	}
}

// generate asks in the background for an answer that takes long.
func generate(ctx context.Context, fake *openaitest.Server, pool *errgroup.Group) *completion {
	var out completion
	pool.Go(func() error {
		body := `{"prompt":[1,20],"max_tokens":400,"ignore_eos":true,"return_token_ids":true,"seed":1,"temperature":1}`
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fake.URL+"/v1/completions", strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return json.NewDecoder(resp.Body).Decode(&out)
	})
	return &out
}

func TestPauseModes(t *testing.T) {
	for _, c := range []struct{ mode, reason string }{
		{"abort", "abort"}, // ends what is under way
		{"wait", "length"}, // lets it end
		{"keep", "length"}, // freezes it until the resume
	} {
		t.Run(c.mode, func(t *testing.T) {
			fake := openaitest.New(t, openaitest.Options{TokenTime: 50 * time.Microsecond})
			var pool errgroup.Group
			got := generate(t.Context(), fake, &pool)
			await(t, fake, 1)
			if s, body := post(t, fake.URL+"/pause?mode="+c.mode, nil); s != http.StatusOK {
				t.Fatalf("pause: %d %s", s, body)
			}
			if running := fake.Running(); (running == 1) != (c.mode == "keep") {
				t.Errorf("%d generations under way in the pause", running)
			}
			later := generate(t.Context(), fake, &pool) // waits for the resume
			if s, body := post(t, fake.URL+"/resume", nil); s != http.StatusOK {
				t.Fatalf("resume: %d %s", s, body)
			}
			if err := pool.Wait(); err != nil {
				t.Fatal(err)
			}
			first, second := got.Choices[0], later.Choices[0]
			if first.FinishReason != c.reason || (len(first.TokenIDs) == 400) != (c.reason == "length") {
				t.Errorf("ended with %q after %d tokens, want %q", first.FinishReason, len(first.TokenIDs), c.reason)
			}
			if second.FinishReason != "length" || len(second.TokenIDs) != 400 {
				t.Errorf("the later one ended with %q after %d tokens", second.FinishReason, len(second.TokenIDs))
			}
		})
	}
}

func TestClientsThatGoAwayAreForgotten(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{TokenTime: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pool errgroup.Group
	generate(ctx, fake, &pool)
	await(t, fake, 1)
	cancel()
	if err := pool.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	await(t, fake, 0)
}

// await waits until n generations are under way.
func await(t *testing.T, fake *openaitest.Server, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := fake.AwaitRunning(ctx, func(running int) bool { return running == n }); err != nil {
		t.Fatalf("waiting for %d generations: %v", n, err)
	}
}
