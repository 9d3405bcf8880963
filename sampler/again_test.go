package sampler

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
)

type span struct{ First, Count int }

// server aborts a sample as often as aborts says, and notes what it is asked for.
func server(aborts map[int]int, asked *[]span) Ask {
	return func(_ context.Context, r Request) ([]Rollout, error) {
		*asked = append(*asked, span{r.First, r.Count})
		out := make([]Rollout, r.Count)
		for i := range out {
			j := r.First + i
			out[i] = Rollout{Sample: j, TokenIDs: []int32{int32(j)}, FinishReason: FinishStop}
			if aborts[j] > 0 {
				aborts[j]--
				out[i].FinishReason = FinishAbort
			}
		}
		return out, nil
	}
}

// Only what was aborted is asked for again, in runs of what lies together.
func TestInsist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []span
		r := Request{First: 2, Count: 6}
		got, err := Insist(t.Context(), r, endpoint.Retry{}, "http://x", server(map[int]int{2: 1, 4: 1, 5: 2}, &asked))
		if err != nil {
			t.Fatal(err)
		}
		for i, ro := range got {
			if ro.Sample != 2+i || ro.FinishReason != FinishStop {
				t.Errorf("rollout %d: %+v", i, ro)
			}
		}
		if diff := cmp.Diff([]span{{2, 6}, {2, 1}, {4, 2}, {5, 1}}, asked); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
	})
}

// When its tries are used up, whoever fences servers can tell an abort from a
// proxy with nobody behind it, and whoever retries that it may be tried again.
func TestInsistEnds(t *testing.T) {
	var asked []span
	got, err := Insist(t.Context(), Request{Count: 2}, endpoint.Retry{Tries: 1}, "http://x/generate", server(map[int]int{1: 9}, &asked))
	if got != nil || !errors.Is(err, ErrAborted) || endpoint.StatusOf(err) != http.StatusServiceUnavailable || !endpoint.Retryable(err) || !strings.Contains(err.Error(), "http://x/generate") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestInParts(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Request
		most int
		want []span
	}{
		{"all at once", Request{First: 1, Count: 3}, 3, []span{{1, 3}}},
		{"the last is shorter", Request{First: 1, Count: 5}, 2, []span{{1, 2}, {3, 2}, {5, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []span
			got, err := InParts(t.Context(), c.r, c.most, server(nil, &asked))
			if err != nil || len(got) != c.r.Count || got[0].Sample != c.r.First {
				t.Errorf("%v, %v", got, err)
			}
			if diff := cmp.Diff(c.want, asked); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
		})
	}
	fail := errors.New("no")
	got, err := InParts(t.Context(), Request{Count: 2}, 1, func(context.Context, Request) ([]Rollout, error) { return nil, fail })
	if got != nil || !errors.Is(err, fail) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestScoreEach(t *testing.T) {
	half := func(_ context.Context, ids []int32) ([]float32, error) {
		if ids[0] == 7 {
			return nil, errors.New("not that one")
		}
		return make([]float32, len(ids)-1), nil
	}
	for _, c := range []struct {
		name string
		seqs [][]int32
		want string
	}{
		{"all", [][]int32{{1, 2}, {1, 2, 3}}, ""},
		{"too short", [][]int32{{1, 2}, {1}}, "score sequence 1: 1 tokens, needs two"},
		{"of another vocabulary", [][]int32{{1, 8}}, "score sequence 0: prompt token 1 is 8, outside the vocabulary of 8"},
		{"refused", [][]int32{{1, 2}, {7, 1}}, "score sequence 1: not that one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ScoreEach(t.Context(), c.seqs, 8, half)
			if c.want != "" {
				if err == nil || err.Error() != c.want {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil || len(got) != len(c.seqs) || len(got[1]) != 2 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
