package openaitest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/sampler/openaitest"
)

// joined is what an answer says of one choice, from either shape of answers.
type joined struct {
	Text     string
	IDs      []int32
	Logprobs []float64
	Tokens   []string
	Offsets  []int
	Finish   string
	Stop     any
	Prompt   []int32
}

// part is a choice of /v1/completions or /v1/chat/completions, whole or a piece.
type part struct {
	Index        int
	Text         string
	Message      struct{ Content string }
	Delta        struct{ Content string }
	FinishReason *string `json:"finish_reason"`
	StopReason   any     `json:"stop_reason"`
	TokenIDs     []int32 `json:"token_ids"`
	PromptIDs    []int32 `json:"prompt_token_ids"`
	Logprobs     *struct {
		TextOffset    []int     `json:"text_offset"`
		TokenLogprobs []float64 `json:"token_logprobs"`
		Tokens        []string
		Content       []struct {
			Token   string
			Logprob float64
		}
	}
}

type parts struct {
	Choices   []part
	PromptIDs []int32 `json:"prompt_token_ids"`
	Usage     *struct {
		CompletionTokens int `json:"completion_tokens"`
	}
}

func (j *joined) add(p part) {
	j.Text += p.Text + p.Message.Content + p.Delta.Content
	j.IDs = append(j.IDs, p.TokenIDs...)
	if p.FinishReason != nil {
		j.Finish, j.Stop = *p.FinishReason, p.StopReason
	}
	if j.Prompt == nil {
		j.Prompt = p.PromptIDs
	}
	if p.Logprobs == nil {
		return
	}
	j.Logprobs = append(j.Logprobs, p.Logprobs.TokenLogprobs...)
	j.Tokens = append(j.Tokens, p.Logprobs.Tokens...)
	j.Offsets = append(j.Offsets, p.Logprobs.TextOffset...)
	for _, c := range p.Logprobs.Content {
		j.Logprobs, j.Tokens = append(j.Logprobs, c.Logprob), append(j.Tokens, c.Token)
	}
}

// join reads an answer of either shape; the second result is the usage's tokens.
func join(t *testing.T, body []byte, n int) ([]joined, int) {
	t.Helper()
	out, used := make([]joined, n), -1
	read := func(b []byte) {
		var p parts
		if err := json.Unmarshal(b, &p); err != nil {
			t.Fatalf("%v: %.300s", err, b)
		}
		for _, c := range p.Choices {
			c.PromptIDs = append(c.PromptIDs, p.PromptIDs...)
			out[c.Index].add(c)
		}
		if p.Usage != nil {
			used = p.Usage.CompletionTokens
		}
	}
	if !bytes.HasPrefix(body, []byte("data: ")) {
		read(body)
		return out, used
	}
	events := strings.Split(strings.TrimSuffix(string(body), "\n\n"), "\n\n")
	if last := len(events) - 1; events[last] != "data: [DONE]" {
		t.Fatalf("the stream ends with %q", events[last])
	}
	for _, e := range events[:len(events)-1] {
		read([]byte(strings.TrimPrefix(e, "data: ")))
	}
	return out, used
}

// TestStreamsSayTheSame: whatever is asked, the events of a stream together are
// the answer without one.
func TestStreamsSayTheSame(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	rng := rand.New(rand.NewPCG(3, 4))
	stops := []string{`"\\boxed"`, `"w3"`, `" w"`, `"5"`, `"}"`, `"é"`, `"4 w"`}
	finishes := map[string]int{}
	for i := range 150 {
		n := 1 + rng.IntN(3)
		ask := fmt.Sprintf(`"n":%d,"max_tokens":%d,"temperature":%v,"seed":%d,"return_token_ids":true`, n, 1+rng.IntN(40), 0.5+rng.Float64(), i)
		maybe := func(text string) {
			if rng.IntN(2) == 0 {
				ask += "," + text
			}
		}
		maybe(`"ignore_eos":true`)
		maybe(fmt.Sprintf(`"min_tokens":%d`, rng.IntN(2)))
		maybe(`"include_stop_str_in_output":true`)
		maybe(`"skip_special_tokens":false`)
		maybe(`"stop_token_ids":[5,60,61,62,63,64,65]`)
		maybe(`"return_tokens_as_token_ids":true`)
		maybe(`"stop":[` + stops[rng.IntN(len(stops))] + `,` + stops[rng.IntN(len(stops))] + `]`)
		path := "/v1/completions"
		if rng.IntN(2) == 0 {
			ask += `,"prompt":[1,20,21]`
			maybe(`"logprobs":2`)
		} else {
			path = "/v1/chat/completions"
			ask += `,"messages":[{"role":"user","content":"hi"}]`
			maybe(`"logprobs":true,"top_logprobs":1`)
		}
		whole := asked(t, fake.URL+path, "{"+ask+"}")
		stream := asked(t, fake.URL+path, "{"+ask+`,"stream":true,"stream_options":{"include_usage":true}}`)
		want, wantUsed := join(t, whole, n)
		got, gotUsed := join(t, stream, n)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s {%s}\n(-whole +stream)\n%s", path, ask, diff)
		}
		if wantUsed != gotUsed {
			t.Errorf("{%s}: %d tokens, in the stream %d", ask, wantUsed, gotUsed)
		}
		for _, j := range got {
			finishes[fmt.Sprintf("%s %T", j.Finish, j.Stop)]++
		}
	}
	for _, kind := range []string{"length <nil>", "stop <nil>", "stop string", "stop float64"} {
		if finishes[kind] < 5 {
			t.Errorf("%d samples ended as %q: %v", finishes[kind], kind, finishes)
		}
	}
}

func asked(t *testing.T, url, body string) []byte {
	t.Helper()
	status, reply := post(t, url, json.RawMessage(body))
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", body, status, reply)
	}
	return reply
}

// TestStorm: of 2,000 requests at once many clients vanish; the others have
// their answers, and nothing is left of any.
func TestStorm(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{TokenTime: 10 * time.Microsecond})
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 0, MaxIdleConnsPerHost: -1, DisableKeepAlives: true}}
	rng := rand.New(rand.NewPCG(5, 6))
	var pool errgroup.Group
	for i := range 2000 {
		vanish, after := rng.IntN(2) == 0, time.Duration(rng.IntN(20))*time.Millisecond
		stream := rng.IntN(2) == 0
		pool.Go(func() error {
			ctx := t.Context()
			if vanish {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, after)
				defer cancel()
			}
			body := fmt.Sprintf(`{"prompt":[1,20],"n":2,"max_tokens":10,"ignore_eos":true,"seed":%d,"return_token_ids":true,"stream":%v}`, i, stream)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, fake.URL+"/v1/completions", strings.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			if err != nil {
				if vanish {
					return nil
				}
				return err
			}
			defer resp.Body.Close()
			reply, err := io.ReadAll(resp.Body)
			switch {
			case vanish:
				return nil
			case err != nil:
				return err
			case resp.StatusCode != http.StatusOK || stream && !bytes.HasSuffix(reply, []byte("data: [DONE]\n\n")):
				return fmt.Errorf("%d %s", resp.StatusCode, reply)
			}
			return nil
		})
	}
	if err := pool.Wait(); err != nil {
		t.Error(err)
	}
	await(t, fake, 0)
}

// TestStreamsThroughAProxy: events arrive as they are made, not at the end.
func TestStreamsThroughAProxy(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{TokenTime: time.Millisecond})
	target, err := url.Parse(fake.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	defer proxy.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, proxy.URL+"/v1/completions", strings.NewReader(`{"prompt":[1,20],"max_tokens":500,"ignore_eos":true,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 6)
	if _, err := io.ReadFull(resp.Body, first); err != nil || !slices.Equal(first, []byte("data: ")) {
		t.Fatalf("%q, %v", first, err)
	}
	if fake.Running() != 1 {
		t.Error("the first event came when the generation had ended")
	}
	cancel()
	await(t, fake, 0)
}
