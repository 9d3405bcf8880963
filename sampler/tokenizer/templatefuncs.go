package tokenizer

import (
	"errors"
	"fmt"
	"time"
)

// templateGlobals are the functions that transformers adds to Jinja's own, and
// a range that, unlike gonja's, leaves no goroutine behind when a loop breaks.
func templateGlobals() map[string]any {
	return map[string]any{
		"raise_exception": func(message string) (string, error) { return "", errors.New(message) },
		"strftime_now":    func(format string) (string, error) { return strftime(time.Now(), format) },
		"range":           templateRange,
	}
}

// maxRange is the limit of Jinja's sandbox.
const maxRange = 100_000

func templateRange(args ...int) ([]int, error) {
	start, stop, step := 0, 0, 1
	switch len(args) {
	case 1:
		stop = args[0]
	case 2:
		start, stop = args[0], args[1]
	case 3:
		start, stop, step = args[0], args[1], args[2]
	default:
		return nil, errors.New("range takes 1 to 3 numbers")
	}
	if step == 0 {
		return nil, errors.New("range: the step is 0")
	}
	var out []int
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(out) == maxRange {
			return nil, fmt.Errorf("range is longer than %d", maxRange)
		}
		out = append(out, i)
	}
	return out, nil
}
