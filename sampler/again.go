package sampler

import (
	"context"
	"fmt"
	"net/http"

	"github.com/justrl/justrl/internal/endpoint"
)

// Ask is one HTTP request for r's samples and its checked reply: r.Count
// rollouts in order, those that the server aborted with [FinishAbort].
type Ask func(ctx context.Context, r Request) ([]Rollout, error)

// InParts asks for r's samples in parts of at most so many, one after the other.
func InParts(ctx context.Context, r Request, most int, ask Ask) ([]Rollout, error) {
	got := make([]Rollout, 0, r.Count)
	for first, end := r.First, r.First+r.Count; first < end; first += most {
		part := r
		part.First, part.Count = first, min(most, end-first)
		rollouts, err := ask(ctx, part)
		if err != nil {
			return nil, err
		}
		got = append(got, rollouts...)
	}
	return got, nil
}

// Insist asks until every sample of r has ended by itself: with one request,
// and further ones for each run of those that were aborted, which keep their
// seeds, as often and as long as retry says. Then its error is [Aborted]'s; url
// is what was asked.
func Insist(ctx context.Context, r Request, retry endpoint.Retry, url string, ask Ask) ([]Rollout, error) {
	done := make([]Rollout, r.Count)
	have := make([]bool, r.Count)
	err := retry.Do(ctx, func(ctx context.Context) error {
		for lo, hi := nextMissing(have, 0); lo < hi; lo, hi = nextMissing(have, hi) {
			sub := r
			sub.First, sub.Count = r.First+lo, hi-lo
			rollouts, err := ask(ctx, sub)
			if err != nil {
				return err
			}
			for i, ro := range rollouts {
				if ro.FinishReason != FinishAbort {
					done[lo+i], have[lo+i] = ro, true
				}
			}
		}
		if lo, hi := nextMissing(have, 0); lo < hi {
			return Aborted(url)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// nextMissing is the first run [lo, hi) of false in have at or after from; empty if there is none.
func nextMissing(have []bool, from int) (lo, hi int) {
	for lo = from; lo < len(have) && have[lo]; lo++ {
	}
	for hi = lo; hi < len(have) && !have[hi]; hi++ {
	}
	return lo, hi
}

// Aborted is the error of a request whose samples the server gave up on: it is
// [ErrAborted], and one that [endpoint.Retry] tries again.
func Aborted(url string) error {
	return fmt.Errorf("%w: %w", ErrAborted, &endpoint.StatusError{
		Method: http.MethodPost, URL: url, Status: http.StatusServiceUnavailable,
		Message: "finish_reason abort",
	})
}

// ScoreEach has one score the sequences, one after the other, so that each is
// alone in its batch as long as nobody else uses the server. Sequences have at
// least two tokens, all of the vocabulary (as [InVocab] has it).
func ScoreEach(ctx context.Context, seqs [][]int32, vocab int, one func(ctx context.Context, ids []int32) ([]float32, error)) ([][]float32, error) {
	out := make([][]float32, len(seqs))
	for i, ids := range seqs {
		err := CheckPrompt(ids, vocab)
		if len(ids) < 2 {
			err = fmt.Errorf("%d tokens, needs two", len(ids))
		}
		if err == nil {
			out[i], err = one(ctx, ids)
		}
		if err != nil {
			return nil, fmt.Errorf("score sequence %d: %w", i, err)
		}
	}
	return out, nil
}
