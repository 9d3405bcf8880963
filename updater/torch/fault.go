//go:build torch

package torch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// errNotFinite is in the chain of what apply returns for a gradient whose norm
// is NaN or infinite.
var errNotFinite = errors.New("not finite")

// packError says in which pack of a pass something failed.
type packError struct {
	number, of int // from 1
	row        row
	who        func(member int) string // names a sequence; nil: by its index
	hint       string                  // what to do, "" where that is not known
	err        error
}

func (e *packError) Unwrap() error { return e.err }

// Error names the pack by its number, its tokens and, so far as they fit a
// line, its sequences.
func (e *packError) Error() string {
	who := e.who
	if who == nil {
		who = func(m int) string { return fmt.Sprintf("sequence %d", m) }
	}
	const most = 4
	var names []string
	for _, m := range e.row.members[:min(most, len(e.row.members))] {
		names = append(names, who(m))
	}
	if more := len(e.row.members) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	text := fmt.Sprintf("pack %d of %d (%d tokens: %s): ", e.number, e.of, len(e.row.ids), strings.Join(names, ", "))
	if e.hint != "" {
		text += e.hint + ": "
	}
	return text + e.err.Error()
}

// inPack says that err came up in rows[i]; where memory ran out it says what to
// lower. training tells a pass with a backward half.
func (t *Trainer) inPack(rows []row, i int, training bool, err error) error {
	e := &packError{number: i + 1, of: len(rows), row: rows[i], err: err}
	if !outOfMemory(err) {
		return e
	}
	var lower []string
	if len(rows[i].members) > 1 {
		lower = append(lower, fmt.Sprintf("lower update.max_pack_tokens (is %d)", t.opt.Update.MaxPackTokens))
	} else { // nothing smaller than one sequence can be packed
		lower = append(lower, "lower sampling.max_tokens, one sequence fills this pack")
	}
	if training && !t.opt.Update.Recompute {
		lower = append(lower, "set update.recompute to true")
	}
	e.hint = "out of memory: " + strings.Join(lower, ", or ")
	return e
}

// outOfMemory recognises the words of libtorch's allocators: of a CPU, of C++
// itself, and of a GPU.
func outOfMemory(err error) bool {
	text := err.Error()
	return slices.ContainsFunc([]string{"can't allocate memory", "not enough memory", "bad_alloc", "out of memory"}, func(words string) bool {
		return strings.Contains(text, words)
	})
}

// byRollout makes a packError name sequences as the rollouts of mini.
func byRollout(err error, mini []*sample) error {
	var e *packError
	if errors.As(err, &e) {
		e.who = func(m int) string { return fmt.Sprintf("group %d rollout %d", mini[m].group, mini[m].index) }
	}
	return err
}

// badScores names the pack of the mini-batch's response `member`, with whose
// log-probs err came up, and a weight that is not finite, if there is one.
func (t *Trainer) badScores(rows []row, member int, err error) error {
	if bad := t.notFinite(func(p *parameter) tensor { return p.master }); len(bad) > 0 {
		err = fmt.Errorf("the weights of %s are not finite: %w", few(bad), err)
	}
	for i, r := range rows {
		if slices.Contains(r.members, member) {
			return t.inPack(rows, i, true, err)
		}
	}
	return err
}

// badGradient names the first pack whose own gradient is not finite, and the
// tensors, the one that the backward pass reached first before the others.
//
// A good update does not pay for that: only after a bad one the packs run
// again, by the same weights, one at a time.
func (t *Trainer) badGradient(ctx context.Context, mini []*sample, rows []row, err error) error {
	grad := func(p *parameter) tensor { return p.grad }
	sum := t.notFinite(grad)
	for i := range rows {
		t.net.dropGrads(t.counter)
		if _, _, again := t.accumulate(ctx, mini, rows[i:i+1]); again != nil {
			return fmt.Errorf("%w (and looking for the pack, of %d: %w)", err, len(rows), again)
		}
		if bad := t.notFinite(grad); len(bad) > 0 {
			return byRollout(t.inPack(rows, i, true, fmt.Errorf("the gradient of %s: %w", few(bad), err)), mini)
		}
	}
	if len(sum) > 0 {
		return fmt.Errorf("the sum of %d packs' gradients of %s overflows, each is finite: %w", len(rows), few(sum), err)
	}
	return fmt.Errorf("every tensor's gradient is finite and the norm of all overflows: %w", err)
}

// notFinite names the parameters whose tensor has a NaN or an infinity, or
// cannot be looked at, from the last to the first: about the order in which the
// backward pass reaches them.
func (t *Trainer) notFinite(of func(*parameter) tensor) (names []string) {
	s := newScope(t.counter)
	defer s.close()
	for _, p := range slices.Backward(t.net.params) {
		if x := of(p); x.ok() && (!finite(s.norm([]tensor{x})) || s.err != nil) {
			names = append(names, p.name)
		}
	}
	return names
}

// few is the first of names, and how many others there are.
func few(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s (and %d other tensors)", names[0], len(names)-1)
}
