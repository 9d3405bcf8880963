package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Recorded is a rollout that was read from a file.
type Recorded struct {
	Rollout
	At string // file:line, for errors
}

// ReadRollouts returns the rollouts that a step of the run in `run` was trained
// on, in the order of its groups. It may be called while another process works
// there. Without the file the error wraps fs.ErrNotExist.
func ReadRollouts(run string, step int) (all []Recorded, err error) {
	path := RolloutsPath(run, step)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("rollouts: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	all, _, torn, err := readRollouts(path, f)
	if err == nil && torn {
		err = fmt.Errorf("%s: its last line is cut short; it was not written so", path)
	}
	return all, err
}

// readRollouts decodes the lines of a rollouts file. whole is how many bytes
// the lines that have an end take up; torn tells that something follows them.
func readRollouts(path string, from io.Reader) (all []Recorded, whole int64, torn bool, err error) {
	type key struct {
		group  int64
		sample int
	}
	seen := map[key]int{}
	for r, n := bufio.NewReaderSize(from, 1<<16), 1; ; n++ {
		b, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, whole, len(b) > 0, nil
		}
		if err != nil {
			return nil, 0, false, fmt.Errorf("%s: %w", path, err)
		}
		at := fmt.Sprintf("%s:%d", path, n)
		rollout, err := parseRollout(b)
		if err != nil {
			return nil, 0, false, fmt.Errorf("%s: %w", at, err)
		}
		k := key{rollout.Group, rollout.Sample}
		if before := seen[k]; before > 0 {
			return nil, 0, false, fmt.Errorf("%s: sample %d of group %d is there already, in line %d", at, k.sample, k.group, before)
		}
		seen[k] = n
		all = append(all, Recorded{rollout, at})
		whole += int64(len(b))
	}
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

func parseRollout(b []byte) (Rollout, error) {
	var l rolloutLine
	if err := json.Unmarshal(b, &l); err != nil {
		return Rollout{}, err
	}
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
