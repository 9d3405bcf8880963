package generations

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/justrl/justrl/benchmarks"
)

// record is a line decoded in place: its text lives until the next line.
type record struct {
	id                       int
	seed                     int64
	prompt, answer, response []byte
	finish                   []byte
	tokens                   int
}

func (r *record) generation() benchmarks.Generation {
	return benchmarks.Generation{
		ExampleID: r.id, Prompt: string(r.prompt), Answer: string(r.answer), Seed: r.seed, Response: string(r.response),
		FinishReason: string(r.finish), Tokens: r.tokens,
	}
}

// decode reads a line. Nothing of r is kept but what s owns.
func (s *scanner) decode(line []byte) (r record, err error) {
	var id, seed, prompt, answer, response, finish, tokens value
	err = s.object(line, func(key []byte, v value) {
		switch string(key) { // of a key that is there twice the last counts
		case "example_id":
			id = v
		case "seed":
			seed = v
		case "prompt":
			prompt = v
		case "answer":
			answer = v
		case "response":
			response = v
		case "finish_reason":
			finish = v
		case "tokens":
			tokens = v
		}
	})
	if err != nil {
		return r, err
	}
	n, err := integer("example_id", id)
	if err != nil {
		return r, err
	}
	if n < 0 || n > math.MaxInt32 {
		return r, fmt.Errorf("example_id must be the number of a problem from 0, is %d", n)
	}
	r.id = int(n)
	if seed.kind != absent && seed.kind != null {
		if r.seed, err = integer("seed", seed); err != nil {
			return r, err
		}
	}
	for _, f := range []struct {
		key      string
		v        value
		to       *[]byte
		optional bool
	}{{"prompt", prompt, &r.prompt, true}, {"answer", answer, &r.answer, false}, {"response", response, &r.response, false}} {
		switch {
		case f.v.kind == text:
			*f.to = f.v.bytes
		case f.optional && (f.v.kind == absent || f.v.kind == null):
		default:
			return r, fmt.Errorf("%s must be text, is %s", f.key, f.v.kind)
		}
	}
	// These two are ours: of another kind they are somebody else's.
	if finish.kind == text {
		r.finish = finish.bytes
	}
	if n, err := integer("tokens", tokens); err == nil && 0 <= n && n <= math.MaxInt32 {
		r.tokens = int(n)
	}
	return r, nil
}

// integer is what Python's int makes of a number or text, if it is whole.
func integer(key string, v value) (int64, error) {
	b := v.bytes
	switch v.kind {
	case number:
	case text:
		b = bytes.TrimSpace(b)
	default:
		return 0, fmt.Errorf("%s must be a whole number, is %s", key, v.kind)
	}
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return n, nil
	}
	if x, err := strconv.ParseFloat(string(b), 64); v.kind == number && err == nil && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return int64(x), nil
	}
	return 0, fmt.Errorf("%s must be a whole number, is %.40q", key, b)
}
