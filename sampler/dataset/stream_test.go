package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/sampler"
)

// letters renders a problem as one token a byte of its question.
func letters(p sampler.Problem) ([]int32, error) {
	var ids []int32
	for _, c := range []byte(p.Question) {
		ids = append(ids, int32(c))
	}
	return ids, nil
}

func take(t testing.TB, s *Stream, n int) []sampler.Row {
	t.Helper()
	var rows []sampler.Row
	for range n {
		row, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func mustStream(t testing.TB, src Source, opt Options, from Cursor) *Stream {
	t.Helper()
	s, err := NewStream(src, opt, from)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStreamDropsWhatIsTooLong(t *testing.T) {
	src := mustOpen(t, numbered(t, 12)) // q10 and q11 have 3 tokens
	s := mustStream(t, src, Options{MaxPromptTokens: 2, Epochs: 2, Prompt: letters}, Cursor{})
	rows := take(t, s, 20)
	for i, row := range rows {
		want := sampler.Row{
			Ordinal:        int64(i),
			Problem:        sampler.Problem{ID: fmt.Sprint(i % 10), Question: fmt.Sprintf("q%d", i%10), Answer: fmt.Sprintf("a%d", i%10)},
			PromptTokenIDs: []int32{'q', '0' + int32(i%10)},
		}
		if diff := cmp.Diff(want, row); diff != "" {
			t.Fatalf("row %d (-want +got):\n%s", i, diff)
		}
	}
	if s.Epoch() != 1 || s.Dropped() != 2 {
		t.Errorf("epoch %d with %d dropped, want 1 with 2", s.Epoch(), s.Dropped())
	}
	for range 2 { // and stays at its end
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrEnd) {
			t.Errorf("after the last epoch: %v", err)
		}
	}
	if s.Dropped() != 4 {
		t.Errorf("%d dropped, want 4", s.Dropped())
	}
}

func TestStreamResumesWhereItWas(t *testing.T) {
	src := mustOpen(t, numbered(t, 12))
	opt := Options{Seed: 3, Shuffle: true, MaxPromptTokens: 2, Prompt: letters}
	want := take(t, mustStream(t, src, opt, Cursor{}), 40)
	for stop := range len(want) {
		first := mustStream(t, src, opt, Cursor{})
		got := take(t, first, stop)
		saved, err := first.MarshalCursor()
		if err != nil {
			t.Fatal(err)
		}
		var cur Cursor
		if err := json.Unmarshal(saved, &cur); err != nil {
			t.Fatal(err)
		}
		again := mustStream(t, src, opt, cur)
		got = append(got, take(t, again, len(want)-stop)...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("resumed after %d rows (-want +got):\n%s", stop, diff)
		}
		if again.Dropped() != 7 && again.Dropped() != 8 { // 4 epochs of 10 rows: 2 each, where the last may end early
			t.Fatalf("resumed after %d rows: %d dropped", stop, again.Dropped())
		}
	}
}

func TestStreamShufflesByEpoch(t *testing.T) {
	src := mustOpen(t, numbered(t, 8))
	s := mustStream(t, src, Options{Seed: 1, Shuffle: true, Prompt: letters}, Cursor{})
	var got [2][]string
	for e := range got {
		for _, row := range take(t, s, 8) {
			got[e] = append(got[e], row.Problem.ID)
		}
		want := order(8, 1, e)
		for i, id := range got[e] {
			if id != fmt.Sprint(want[i]) {
				t.Fatalf("epoch %d: %v, want %v", e, got[e], want)
			}
		}
	}
	if cmp.Equal(got[0], got[1]) {
		t.Error("two epochs have one order")
	}
}

func TestStreamErrors(t *testing.T) {
	src := mustOpen(t, numbered(t, 12))
	broken := errors.New("broken")
	for _, epochs := range []int{0, 1, 3} {
		s := mustStream(t, src, Options{MaxPromptTokens: 1, Epochs: epochs, Shuffle: true, Prompt: letters}, Cursor{})
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrAllTooLong) || !strings.Contains(err.Error(), "none of the 12 has at most 1 tokens") {
			t.Errorf("all too long, %d epochs: %v", epochs, err)
		}
	}
	half := mustStream(t, src, Options{MaxPromptTokens: 2, Prompt: letters}, Cursor{Position: 10, Ordinal: 10})
	if row, err := half.Next(t.Context()); err != nil || row.Problem.ID != "0" || row.Ordinal != 10 {
		t.Errorf("only the epoch's rest is too long: %+v, %v", row, err)
	}

	fails := true
	s := mustStream(t, src, Options{Prompt: func(p sampler.Problem) ([]int32, error) {
		if fails {
			return nil, broken
		}
		return letters(p)
	}}, Cursor{})
	if _, err := s.Next(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "problem 0 (row 0)") {
		t.Errorf("render error: %v", err)
	}
	fails = false
	if row := take(t, s, 1)[0]; row.Ordinal != 0 || row.Problem.ID != "0" {
		t.Errorf("after a render error the row is %+v, want the same one", row)
	}

	s = mustStream(t, src, Options{Prompt: func(sampler.Problem) ([]int32, error) { return nil, nil }}, Cursor{})
	if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "no tokens") {
		t.Errorf("empty prompt: %v", err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, err := s.Next(ctx); !errors.Is(err, broken) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNewStreamRefuses(t *testing.T) {
	src := mustOpen(t, numbered(t, 12))
	other := mustOpen(t, numbered(t, 11))
	tests := map[string]struct {
		opt  Options
		from Cursor
		want string
	}{
		"no prompt":       {Options{}, Cursor{}, "Prompt is needed"},
		"negative limit":  {Options{Prompt: letters, MaxPromptTokens: -1}, Cursor{}, "must not be negative"},
		"past the end":    {Options{Prompt: letters}, Cursor{Position: 13}, "no such place in 12 rows"},
		"another dataset": {Options{Prompt: letters}, Cursor{Dataset: other.Fingerprint()}, "resume with the file that the run began with"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := NewStream(src, tc.opt, tc.from); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %q", err, tc.want)
			}
		})
	}
}
