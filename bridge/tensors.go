package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrTensors is wrapped when a snapshot's tensors are not those of the model that is served.
var ErrTensors = errors.New("the snapshot's tensors are not the served model's")

// Inspector reads what a folder of weights holds.
type Inspector interface {
	// Tensors lists the tensors by the files' headers; it fails when a file is missing, cut short or damaged.
	Tensors(dir string) ([]Tensor, error)
	// SHA256 is [Snapshot.SHA256] in hex.
	SHA256(dir string) (string, error)
}

// CheckTensors compares the tensors of a folder with those that a server
// expects, in any order. An expected dtype of "" accepts any. The error wraps
// ErrTensors and names the first few differences.
//
// Servers need this check: vLLM reads a folder that lacks tensors without an
// error, and serves old values or uninitialised memory in their place.
func CheckTensors(want, have []Tensor) error {
	left := map[string]Tensor{}
	var diffs []string
	for _, t := range have {
		if _, twice := left[t.Name]; twice {
			diffs = append(diffs, t.Name+" is there twice")
		}
		left[t.Name] = t
	}
	for _, w := range want {
		h, ok := left[w.Name]
		delete(left, w.Name)
		switch {
		case !ok:
			diffs = append(diffs, w.Name+" is missing")
		case !slices.Equal(w.Shape, h.Shape):
			diffs = append(diffs, fmt.Sprintf("%s has shape %v, want %v", w.Name, h.Shape, w.Shape))
		case w.DType != "" && w.DType != h.DType:
			diffs = append(diffs, fmt.Sprintf("%s is %s, want %s", w.Name, h.DType, w.DType))
		}
	}
	for _, t := range have {
		if _, extra := left[t.Name]; extra {
			diffs = append(diffs, t.Name+" is not in the model")
			delete(left, t.Name)
		}
	}
	const most = 3
	switch {
	case len(diffs) == 0:
		return nil
	case len(diffs) > most:
		diffs = append(diffs[:most], fmt.Sprintf("%d more", len(diffs)-most))
	}
	return fmt.Errorf("%w: %s", ErrTensors, strings.Join(diffs, ", "))
}
