package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/justrl/justrl/updater"
)

// rolloutLine is what an update needs of a [journal.Rollout]. The fields are
// decoded one by one, so that what is missing is no zero and each fault has its
// field's name.
type rolloutLine struct {
	Group          json.RawMessage `json:"group"`
	Sample         json.RawMessage `json:"sample"` // may be missing
	PromptTokenIDs json.RawMessage `json:"prompt_token_ids"`
	TokenIDs       json.RawMessage `json:"token_ids"`
	Logprobs       json.RawMessage `json:"logprobs"` // may be missing
	Reward         json.RawMessage `json:"reward"`
}

// readGroups reads rollouts: a group is the lines with one number, and groups
// are in the order in which the file begins them. All groups have as many
// rollouts, those of a group have one prompt, and no (group, sample) comes twice:
// what is otherwise was cut short or put together wrongly, and would shift the
// advantages without a sign.
func readGroups(path string, vocab int32) ([]updater.Group, error) {
	type place struct{ index, line int }
	type pair struct{ group, sample int64 }
	groups, begun := map[int64]place{}, []int64{}
	seen := map[pair]int{}
	var out []updater.Group
	err := eachLine(path, func(n int, l rolloutLine) error {
		group, err := integer("group", l.Group)
		if err != nil {
			return err
		}
		if !missing(l.Sample) {
			sample, err := integer("sample", l.Sample)
			if err != nil {
				return err
			}
			if first, twice := seen[pair{group, sample}]; twice {
				return fmt.Errorf("sample %d of group %d is on line %d already: remove one, or give them their own numbers", sample, group, first)
			}
			seen[pair{group, sample}] = n
		}
		r, err := l.rollout(vocab)
		if err != nil {
			return err
		}
		at, ok := groups[group]
		if !ok {
			at = place{len(out), n}
			groups[group] = at
			begun = append(begun, group)
			out = append(out, updater.Group{Ordinal: int64(at.index)})
		} else if !slices.Equal(r.PromptTokenIDs, out[at.index].Rollouts[0].PromptTokenIDs) {
			return fmt.Errorf("prompt_token_ids are not those of group %d, which begins on line %d: advantages compare answers to one prompt; give each prompt a group number of its own", group, at.line)
		}
		out[at.index].Rollouts = append(out[at.index].Rollouts, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	size := usualSize(out)
	for i, g := range out {
		if len(g.Rollouts) != size {
			return nil, fmt.Errorf("%s:%d: group %d begins here and has %d rollouts where other groups have %d: add what is missing, or remove the group",
				path, groups[begun[i]].line, begun[i], len(g.Rollouts), size)
		}
	}
	return out, nil
}

// usualSize is the size that most groups have; of several the first group's.
func usualSize(groups []updater.Group) (size int) {
	count := map[int]int{}
	for _, g := range groups {
		count[len(g.Rollouts)]++
	}
	for _, g := range groups {
		if n := len(g.Rollouts); count[n] > count[size] {
			size = n
		}
	}
	return size
}

func (l rolloutLine) rollout(vocab int32) (r updater.Rollout, err error) {
	if r.Reward, err = realNumber("reward", l.Reward); err != nil {
		return r, err
	}
	if r.PromptTokenIDs, err = tokenIDs("prompt_token_ids", l.PromptTokenIDs, vocab); err != nil {
		return r, err
	}
	if r.TokenIDs, err = tokenIDs("token_ids", l.TokenIDs, vocab); err != nil {
		return r, err
	}
	if len(r.PromptTokenIDs) == 0 || len(r.TokenIDs) == 0 {
		return r, errors.New("prompt_token_ids and token_ids must not be empty: leave the whole group out")
	}
	if missing(l.Logprobs) {
		return r, nil
	}
	if r.Logprobs, err = list[float32]("logprobs", l.Logprobs); err != nil {
		return r, err
	}
	if len(r.Logprobs) != len(r.TokenIDs) {
		return r, fmt.Errorf("logprobs has %d entries for %d token_ids", len(r.Logprobs), len(r.TokenIDs))
	}
	return r, nil
}

// missing says that a field is not there, or null.
func missing(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }

func integer(field string, v json.RawMessage) (n int64, err error) {
	if missing(v) {
		return 0, fmt.Errorf("has no %s", field)
	}
	if err := json.Unmarshal(v, &n); err != nil {
		return 0, fmt.Errorf("%s must be an integer, is %s", field, shortened(v))
	}
	return n, nil
}

func realNumber(field string, v json.RawMessage) (x float64, err error) {
	if missing(v) {
		return 0, fmt.Errorf("has no %s", field)
	}
	if err := json.Unmarshal(v, &x); err != nil || math.IsInf(x, 0) {
		return 0, fmt.Errorf("%s must be a finite number, is %s", field, shortened(v))
	}
	return x, nil
}

// list decodes numbers, none of which may be null.
func list[E int32 | float32](field string, v json.RawMessage) ([]E, error) {
	var out []E
	if missing(v) {
		return nil, nil
	}
	err := json.Unmarshal(v, &out)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return nil, fmt.Errorf("%s must be a list of %T, has a %s", field, *new(E), kind.Value)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", field, err)
	case bytes.Contains(v, []byte("null")):
		return nil, fmt.Errorf("%s has null among its numbers", field)
	}
	return out, nil
}

// tokenIDs decodes token ids of the model's vocabulary.
func tokenIDs(field string, v json.RawMessage, vocab int32) ([]int32, error) {
	ids, err := list[int32](field, v)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if id < 0 || id >= vocab {
			return nil, fmt.Errorf("%s[%d] is %d, outside the model's vocabulary of %d", field, i, id, vocab)
		}
	}
	return ids, nil
}

// shortened cuts a value to what fits the line of an error.
func shortened(v json.RawMessage) string {
	const most = 60
	if r := []rune(string(v)); len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(v)
}
