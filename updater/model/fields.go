package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bounds on sizes: far above any model, low enough that products of two fit
// an int64 and a list of tensors fits memory.
const (
	maxLayers = 4096
	maxWidth  = 1 << 24
	maxVocab  = math.MaxInt32
)

// fields are the keys of a config and what was found wrong with them. A key
// that is null counts as absent, as it does in transformers.
type fields struct {
	m      map[string]json.RawMessage
	faults []string
}

func (f *fields) check(ok bool, format string, args ...any) {
	if !ok {
		f.faults = append(f.faults, fmt.Sprintf(format, args...))
	}
}

func (f *fields) err() error {
	if len(f.faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(f.faults, "; "))
}

// raw returns a key's value, nil if absent or null.
func (f *fields) raw(key string) json.RawMessage {
	if v := f.m[key]; string(v) != "null" {
		return v
	}
	return nil
}

// size reads a required integer in 1 … most.
func (f *fields) size(key string, most int) int {
	if f.raw(key) == nil {
		f.check(false, "%s is missing", key)
		return 0
	}
	return f.sizeOr(key, 0, most)
}

// sizeOr reads an integer in 1 … most, def if it is absent.
func (f *fields) sizeOr(key string, def, most int) int {
	v := f.raw(key)
	if v == nil {
		return def
	}
	n, err := strconv.Atoi(string(v))
	f.check(err == nil && n >= 1 && n <= most, "%s must be an integer from 1 to %d, is %s", key, most, short(v))
	return n
}

// number reads a finite number, def if it is absent.
func (f *fields) number(key string, def float64) float64 {
	v := f.raw(key)
	if v == nil {
		return def
	}
	var x float64
	err := json.Unmarshal(v, &x)
	f.check(err == nil, "%s must be a number, is %s", key, short(v))
	return x
}

func (f *fields) boolean(key string, def bool) bool {
	v := f.raw(key)
	if v == nil {
		return def
	}
	var x bool
	err := json.Unmarshal(v, &x)
	f.check(err == nil, "%s must be true or false, is %s", key, short(v))
	return x
}

func (f *fields) text(key string) string {
	v := f.raw(key)
	if v == nil {
		return ""
	}
	var x string
	err := json.Unmarshal(v, &x)
	f.check(err == nil, "%s must be a string, is %s", key, short(v))
	return x
}

// architecture reads "architectures" and holds "model_type" against it.
func (f *fields) architecture() string {
	var names []string
	if v := f.raw("architectures"); v != nil {
		err := json.Unmarshal(v, &names)
		f.check(err == nil, "architectures must be a list of strings, is %s", short(v))
	}
	types := map[string]string{Qwen2: "qwen2", Qwen3: "qwen3", Llama: "llama"}
	if len(names) != 1 || types[names[0]] == "" {
		f.check(false, "unknown architecture %q; %s, %s and %s are supported", names, Llama, Qwen2, Qwen3)
		return ""
	}
	t := f.text("model_type")
	f.check(t == "" || t == types[names[0]], "model_type %q does not go with architecture %s", t, names[0])
	return names[0]
}

// heads reads the attention's sizes and checks that they go together.
func (f *fields) heads(s *Spec) {
	s.Heads = f.size("num_attention_heads", maxWidth)
	if s.Architecture == Llama {
		s.KVHeads = f.sizeOr("num_key_value_heads", s.Heads, maxWidth)
	} else { // transformers' default is a number of its own, 32, which fits no model by accident
		s.KVHeads = f.size("num_key_value_heads", maxWidth)
	}
	if s.Heads < 1 || s.KVHeads < 1 {
		return
	}
	f.check(s.Heads%s.KVHeads == 0, "num_attention_heads %d is not a multiple of num_key_value_heads %d", s.Heads, s.KVHeads)
	switch {
	case f.raw("head_dim") != nil:
		s.HeadDim = f.size("head_dim", maxWidth)
	case s.Architecture == Qwen3:
		_, null := f.m["head_dim"]
		f.check(!null, "head_dim must be a number, is null") // programs differ in what that means
		s.HeadDim = 128                                      // transformers' default for Qwen3
	default:
		s.HeadDim = s.Hidden / s.Heads
		f.check(s.Hidden%s.Heads == 0, "hidden_size %d is not a multiple of num_attention_heads %d and head_dim is not given", s.Hidden, s.Heads)
	}
	f.check(s.HeadDim%2 == 0, "head_dim must be even, is %d", s.HeadDim)
	f.check(s.HeadDim == 0 || s.Heads <= maxWidth/s.HeadDim, "num_attention_heads %d × head_dim %d is too large", s.Heads, s.HeadDim)
}

// dtype reads "dtype" (transformers 5) or "torch_dtype" (4).
func (f *fields) dtype() string {
	d, old := f.text("dtype"), f.text("torch_dtype")
	d, old = strings.TrimPrefix(d, "torch."), strings.TrimPrefix(old, "torch.")
	f.check(d == "" || old == "" || d == old, "dtype %q and torch_dtype %q differ", d, old)
	if d == "" {
		d = old
	}
	if d == "auto" { // the checkpoint's own
		return ""
	}
	f.check(slices.Contains([]string{"", "float32", "bfloat16", "float16", "float64"}, d), "dtype %q is not supported; float32, bfloat16, float16 and float64 are", d)
	return d
}

// eos reads one token id or a list of them.
func (f *fields) eos() []int32 {
	v := f.raw("eos_token_id")
	if v == nil {
		return nil
	}
	var one int32
	if json.Unmarshal(v, &one) == nil {
		return []int32{one}
	}
	var many []*int32 // pointers tell null from 0
	err := json.Unmarshal(v, &many)
	if err != nil || slices.Contains(many, nil) {
		f.check(false, "eos_token_id must be a token id or a list of them, is %s", short(v))
		return nil
	}
	var ids []int32
	for _, id := range many {
		ids = append(ids, *id)
	}
	return ids
}

// short cuts a value to what fits an error's line.
func short(v json.RawMessage) string {
	s := strings.Join(strings.Fields(string(v)), " ")
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
