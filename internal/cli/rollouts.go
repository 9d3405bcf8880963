package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/justrl/justrl/internal/parquetfile"
	"github.com/justrl/justrl/orchestrator/journal"
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

// readGroups reads rollouts, JSON Lines or the parquet file of a step: a group is the
// rows with one number, and groups are in the order in which the file begins them. All
// groups have as many rollouts, those of a group have one prompt, and no (group, sample)
// comes twice: what is otherwise was cut short or put together wrongly, and would shift
// the advantages without a sign.
func readGroups(path string, vocab int32) ([]updater.Group, error) {
	g := grouping{path: path, begun: map[int64]place{}, seen: map[numbered]int{}}
	parquet, err := isParquet(path)
	if err != nil {
		return nil, err
	}
	if parquet {
		n := 0
		for r, err := range journal.ForUpdate(path) {
			if err != nil {
				return nil, err
			}
			n++
			if err := g.addParquet(n, r.Rollout, vocab); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, n, err)
			}
		}
		if n == 0 {
			return nil, fmt.Errorf("%s: has no rows", path)
		}
		return g.done()
	}
	err = eachLine(path, func(n int, l rolloutLine) error {
		group, err := integer("group", l.Group)
		if err != nil {
			return err
		}
		if !missing(l.Sample) {
			sample, err := integer("sample", l.Sample)
			if err != nil {
				return err
			}
			if err := g.unseen(n, group, sample); err != nil {
				return err
			}
		}
		r, err := l.rollout(vocab)
		if err != nil {
			return err
		}
		return g.add(n, group, r)
	})
	if err != nil {
		return nil, err
	}
	return g.done()
}

// isParquet tells a parquet file by its first bytes.
func isParquet(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // read only
	head := make([]byte, len(parquetfile.Magic))
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return bytes.Equal(head[:n], parquetfile.Magic), nil
}

// grouping puts rollouts into groups as their file has them.
type grouping struct {
	path  string
	begun map[int64]place  // groups by their numbers
	order []int64          // of the numbers
	seen  map[numbered]int // lines
	out   []updater.Group
}

type (
	place    struct{ index, line int }
	numbered struct{ group, sample int64 }
)

func (g *grouping) unseen(line int, group, sample int64) error {
	if first, twice := g.seen[numbered{group, sample}]; twice {
		return fmt.Errorf("sample %d of group %d is on line %d already: remove one, or give them their own numbers", sample, group, first)
	}
	g.seen[numbered{group, sample}] = line
	return nil
}

func (g *grouping) add(line int, group int64, r updater.Rollout) error {
	at, ok := g.begun[group]
	if !ok {
		at = place{len(g.out), line}
		g.begun[group] = at
		g.order = append(g.order, group)
		g.out = append(g.out, updater.Group{Ordinal: int64(at.index)})
	} else if !slices.Equal(r.PromptTokenIDs, g.out[at.index].Rollouts[0].PromptTokenIDs) {
		return fmt.Errorf("prompt_token_ids are not those of group %d, which begins on line %d: advantages compare answers to one prompt; give each prompt a group number of its own", group, at.line)
	}
	g.out[at.index].Rollouts = append(g.out[at.index].Rollouts, r)
	return nil
}

// addParquet adds a row of a parquet file, whose numbers are of their types and finite.
func (g *grouping) addParquet(row int, r journal.Rollout, vocab int32) error {
	if r.Sample >= 0 {
		if err := g.unseen(row, r.Group, int64(r.Sample)); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		field string
		ids   []int32
	}{{"prompt_token_ids", r.PromptTokenIDs}, {"token_ids", r.TokenIDs}} {
		if err := inVocabulary(list.field, list.ids, vocab); err != nil {
			return err
		}
	}
	u := updater.Rollout{PromptTokenIDs: r.PromptTokenIDs, TokenIDs: r.TokenIDs, Logprobs: r.Logprobs, Reward: r.Reward}
	if err := wholeRollout(u); err != nil {
		return err
	}
	return g.add(row, r.Group, u)
}

// done are the groups, if they are all of one size.
func (g *grouping) done() ([]updater.Group, error) {
	size := usualSize(g.out)
	for i, group := range g.out {
		if len(group.Rollouts) != size {
			return nil, fmt.Errorf("%s:%d: group %d begins here and has %d rollouts where other groups have %d: add what is missing, or remove the group",
				g.path, g.begun[g.order[i]].line, g.order[i], len(group.Rollouts), size)
		}
	}
	return g.out, nil
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
	if !missing(l.Logprobs) {
		if r.Logprobs, err = list[float32]("logprobs", l.Logprobs); err != nil {
			return r, err
		}
		if r.Logprobs == nil { // an empty list is not the same as none
			r.Logprobs = []float32{}
		}
	}
	return r, wholeRollout(r)
}

// wholeRollout refuses what cannot be trained on.
func wholeRollout(r updater.Rollout) error {
	switch {
	case len(r.PromptTokenIDs) == 0 || len(r.TokenIDs) == 0:
		return errors.New("prompt_token_ids and token_ids must not be empty: leave the whole group out")
	case r.Logprobs != nil && len(r.Logprobs) != len(r.TokenIDs):
		return fmt.Errorf("logprobs has %d entries for %d token_ids", len(r.Logprobs), len(r.TokenIDs))
	}
	return nil
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
	return ids, inVocabulary(field, ids, vocab)
}

func inVocabulary(field string, ids []int32, vocab int32) error {
	for i, id := range ids {
		if id < 0 || id >= vocab {
			return fmt.Errorf("%s[%d] is %d, outside the model's vocabulary of %d", field, i, id, vocab)
		}
	}
	return nil
}

// shortened cuts a value to what fits the line of an error.
func shortened(v json.RawMessage) string {
	const most = 60
	if r := []rune(string(v)); len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(v)
}
