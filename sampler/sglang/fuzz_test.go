package sglang

import (
	"encoding/json"
	"math"
	"testing"
)

// The scanner must read what encoding/json reads as such a list, to the same
// values, and nothing else.
func FuzzTokenLogprobs(f *testing.F) {
	for _, s := range []string{
		`[]`, `null`, `[[-0.5,3,null]]`, `[[null, 1, null], [-1e-3, 2, "a\"],["]]`, `[[-0.5,3]]`, `[[-0.5]]`, `[[-0.5,3,null],]`,
		`[[-0.5,3.5,null]]`, `[["x",3,null]]`, `[[-0.5,3,null]`, `[[NaN,3,null]]`, `[[-1e999,3,null]]`, `[[-0.5,3,7]]`, `[[-0.5,99999999999,null]]`, `[] x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got tokenLogprobs
		err := got.UnmarshalJSON(b)
		if len(got.IDs) != len(got.Logprobs) || err != nil && got.IDs != nil {
			t.Fatalf("%d ids, %d log-probs, error %v", len(got.IDs), len(got.Logprobs), err)
		}
		var want [][]any
		if !json.Valid(b) {
			return // a decoder never hands it over
		}
		if json.Unmarshal(b, &want) != nil {
			if err == nil {
				t.Fatalf("%q: was read as %v", b, got)
			}
			return
		}
		right := true
		for _, e := range want {
			right = right && (len(e) == 2 || len(e) == 3)
		}
		if err != nil {
			return // stricter than JSON: the kinds are its business
		}
		if !right || len(want) != len(got.IDs) {
			t.Fatalf("%q: was read as %v", b, got)
		}
		for i, e := range want {
			if id, ok := e[1].(float64); !ok || id != float64(got.IDs[i]) {
				t.Fatalf("%q: entry %d is of %v, read as %d", b, i, e[1], got.IDs[i])
			}
			switch x := e[0].(type) {
			case nil:
				if !math.IsNaN(float64(got.Logprobs[i])) {
					t.Fatalf("%q: entry %d: null read as %v", b, i, got.Logprobs[i])
				}
			case float64:
				if float32(x) != got.Logprobs[i] && math.Abs(x-float64(got.Logprobs[i])) > 1e-6*math.Abs(x) {
					t.Fatalf("%q: entry %d: %v read as %v", b, i, x, got.Logprobs[i])
				}
			default:
				t.Fatalf("%q: entry %d: %v read as %v", b, i, x, got.Logprobs[i])
			}
		}
	})
}
