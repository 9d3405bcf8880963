package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
)

// Recorded is a rollout that was read from a file.
type Recorded struct {
	Rollout
	At string // file:line, for errors; of a parquet file file:row, from 1
}

// ReadRollouts returns the rollouts that a step of the run in `run` was trained
// on, in the order of its groups. It may be called while another process works
// there. Without the file the error wraps fs.ErrNotExist.
func ReadRollouts(run string, step int) (all []Recorded, err error) {
	for r, err := range Rollouts(run, step) {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Rollouts is [ReadRollouts] one rollout at a time: memory holds that one and some
// MB of the file. An error is the last that is yielded.
func Rollouts(run string, step int) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		path := RolloutsPath(run, step)
		seen := map[sampleKey]int{}
		ended, err := whileWanted(yield, func(each func(Recorded) error) error {
			return eachRow(path, nil, func(n int, l rolloutLine) error {
				r, err := l.rollout()
				if err == nil {
					err = unseen(seen, r, n)
				}
				if err != nil {
					return fmt.Errorf("%s:%d: %w", path, n, err)
				}
				return each(Recorded{r, fmt.Sprintf("%s:%d", path, n)})
			})
		})
		if err != nil && !ended {
			yield(Recorded{}, err)
		}
	}
}

// RolloutText is what a page needs of a [Rollout], whose lists of tokens are long.
type RolloutText struct {
	ProblemID    string  `json:"problem_id"`
	Text         string  `json:"text"`
	FinishReason string  `json:"finish_reason"`
	Reward       float64 `json:"reward"`
}

// RolloutTexts yields the texts of the rollouts that a step was trained on, in the
// order of its groups, and reads no more of the file than it must. A file that is
// not there has none. An error is the last that is yielded.
func RolloutTexts(run string, step int) iter.Seq2[RolloutText, error] {
	path := RolloutsPath(run, step)
	if !isParquet(path) {
		return Lines[RolloutText](path)
	}
	return func(yield func(RolloutText, error) bool) {
		ended, err := whileWanted(yield, func(each func(RolloutText) error) error {
			return eachRow(path, textColumns, func(_ int, l rolloutLine) error {
				t := RolloutText{ProblemID: l.ProblemID, Text: l.Text, FinishReason: l.FinishReason}
				if l.Reward != nil {
					t.Reward = *l.Reward
				}
				return each(t)
			})
		})
		if err != nil && !ended {
			yield(RolloutText{}, err)
		}
	}
}

// ForUpdate yields the rows of a parquet file as `justrl update` takes them: of any
// writer that has the columns group, prompt_token_ids, token_ids and reward. Sample
// is -1 where the file does not say it, and Logprobs nil. An error, which names file
// and row, is the last that is yielded.
func ForUpdate(path string) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		ended, err := whileWanted(yield, func(each func(Recorded) error) error {
			return eachRow(path, []int{colGroup, colSample, colPrompt, colTokens, colLogprobs, colReward}, func(n int, l rolloutLine) error {
				at := fmt.Sprintf("%s:%d", path, n)
				switch {
				case l.Group == nil:
					return fmt.Errorf("%s: has no group", at)
				case l.Reward == nil:
					return fmt.Errorf("%s: has no reward", at)
				}
				r := l.Rollout
				if r.Group, r.Sample, r.Reward = *l.Group, -1, *l.Reward; l.Sample != nil {
					r.Sample = *l.Sample
				}
				return each(Recorded{r, at})
			})
		})
		if err != nil && !ended {
			yield(Recorded{}, err)
		}
	}
}

// ExportRollouts writes the rollouts of a step to w as JSON Lines, one [Rollout] each.
func ExportRollouts(w io.Writer, run string, step int) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for r, err := range Rollouts(run, step) {
		if err == nil {
			err = enc.Encode(r.Rollout)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errEnough = errors.New("enough")

// whileWanted runs over with a callee that yields until the consumer has enough:
// then ended is true, and nothing more may be yielded.
func whileWanted[T any](yield func(T, error) bool, over func(each func(T) error) error) (ended bool, err error) {
	err = over(func(v T) error {
		if !yield(v, nil) {
			ended = true
			return errEnough
		}
		return nil
	})
	return ended, err
}

func isParquet(path string) bool { return filepath.Ext(path) == ".parquet" }

// eachRow calls do with every row of a finished step's file, from 1; want are the
// columns that are read of a parquet file. An error names the file, and do's comes
// as it is. Such a file is always written whole: one that was cut is refused.
func eachRow(path string, want []int, do func(n int, l rolloutLine) error) (err error) {
	if isParquet(path) {
		var own error
		err := openParquet(path, func(f io.ReaderAt, size int64) error {
			return readParquet(f, size, want, func(row int, l rolloutLine) error {
				own = do(row, l)
				return own
			})
		})
		if err != nil && own == nil && !errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("rollouts: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := boundedLines{r: bufio.NewReaderSize(f, 1<<16)}
	for n := 1; ; n++ {
		b, whole, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s:%d: %w", path, n, err)
		case !whole:
			return fmt.Errorf("%s: its last line is cut short; it was not written so", path)
		}
		l, err := parseLine(b)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if err := do(n, l); err != nil {
			return err
		}
	}
}

type sampleKey struct {
	group  int64
	sample int
}

// unseen refuses a sample that an earlier line has.
func unseen(seen map[sampleKey]int, r Rollout, line int) error {
	k := sampleKey{r.Group, r.Sample}
	if before := seen[k]; before > 0 {
		return fmt.Errorf("sample %d of group %d is there already, in line %d", k.sample, k.group, before)
	}
	seen[k] = line
	return nil
}

// rolloutLine is a [Rollout] whose pointers must be there, but for Correct: a missing reward is not 0.
type rolloutLine struct {
	Rollout
	Group          *int64   `json:"group"`
	Sample         *int     `json:"sample"`
	Reward         *float64 `json:"reward"`
	Correct        *bool    `json:"correct"`
	WeightsVersion *int64   `json:"weights_version"`
}

func parseLine(b []byte) (l rolloutLine, err error) { return l, json.Unmarshal(b, &l) }

// rollout is the line, if it has all that one to be trained on must have.
func (l rolloutLine) rollout() (Rollout, error) {
	for _, must := range []struct {
		there bool
		key   string
	}{
		{l.Group != nil, "group"}, {l.Sample != nil, "sample"}, {l.Reward != nil, "reward"},
		{l.WeightsVersion != nil, "weights_version"}, {len(l.PromptTokenIDs) > 0, "prompt_token_ids"}, {len(l.TokenIDs) > 0, "token_ids"}, {l.FinishReason != "", "finish_reason"},
	} {
		if !must.there {
			return Rollout{}, fmt.Errorf("has no %s", must.key)
		}
	}
	r := l.Rollout
	r.Group, r.Sample, r.Reward, r.WeightsVersion = *l.Group, *l.Sample, *l.Reward, *l.WeightsVersion
	if r.Correct = r.Reward > 0; l.Correct != nil { // runs of the first versions had only the reward
		r.Correct = *l.Correct
	}
	if r.Logprobs != nil && len(r.Logprobs) != len(r.TokenIDs) {
		return Rollout{}, fmt.Errorf("logprobs has %d entries for %d token_ids", len(r.Logprobs), len(r.TokenIDs))
	}
	return r, nil
}
