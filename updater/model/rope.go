package model

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// Rope is the rotary position embedding (RoFormer, arXiv 2104.09864): at
// position p the pair (d, d + HeadDim/2) of a query or key is turned by the
// angle p · InvFreq[d].
type Rope struct {
	Theta   float64 // base of the wavelengths
	Scaling *Llama3 // nil for none
}

// Llama3 is the "llama3" scaling of the frequencies: wavelengths above
// Original/LowFreq tokens are stretched by Factor, those below
// Original/HighFreq are kept, and between them it goes over smoothly.
type Llama3 struct {
	Factor, LowFreq, HighFreq float64
	Original                  int // tokens of the context before it was stretched
}

// InvFreq returns the HeadDim/2 frequencies in radians a token.
//
// It repeats, operation by operation in float32, what transformers computes
// on a CPU (modeling_rope_utils), because at position 30,000 the last bit of
// a frequency near 1 is worth 2e-3 radians. One difference is left: the power
// is rounded correctly here, and by torch in all but about one of 200, where
// it is the neighbouring float32. Conversions are explicit: without them a
// compiler may fuse two operations into one rounding.
func (s Spec) InvFreq() []float32 {
	inv := make([]float32, s.HeadDim/2)
	for i := range inv {
		exponent := float32(2*i) / float32(s.HeadDim)
		inv[i] = 1 / float32(math.Pow(float64(float32(s.Rope.Theta)), float64(exponent)))
	}
	l := s.Rope.Scaling
	if l == nil {
		return inv
	}
	original := float64(l.Original)
	longest, shortest := float32(original/l.LowFreq), float32(original/l.HighFreq)
	factor, low, span := float32(l.Factor), float32(l.LowFreq), float32(l.HighFreq-l.LowFreq)
	for i, f := range inv {
		// torch divides a number by a tensor as reciprocal times number.
		wavelen := float32(float32(1/f) * float32(2*math.Pi))
		switch {
		case wavelen > longest:
			inv[i] = f / factor
		case wavelen >= shortest:
			smooth := float32(float32(float32(float32(1/wavelen)*float32(original))-low) / span)
			kept := float32(smooth * f)
			stretched := float32(float32(float32(1-smooth)*f) / factor)
			inv[i] = float32(stretched + kept)
		}
	}
	return inv
}

// rope reads the rotary settings in either spelling.
func (f *fields) rope() Rope {
	const defaultTheta = 10000 // of all three config classes
	r := Rope{Theta: f.number("rope_theta", defaultTheta)}
	v4, v5 := f.ropeObject("rope_scaling"), f.ropeObject("rope_parameters")
	if v4 != nil && v5 != nil {
		// transformers 5 keeps the old name as an alias, so both may be there.
		a, b := f.ropeOf("rope_scaling", v4, r.Theta), f.ropeOf("rope_parameters", v5, r.Theta)
		same := a.Theta == b.Theta && (a.Scaling == nil) == (b.Scaling == nil) && (a.Scaling == nil || *a.Scaling == *b.Scaling)
		f.check(same, "rope_scaling and rope_parameters differ")
		r = b
	} else if v5 != nil {
		r = f.ropeOf("rope_parameters", v5, r.Theta)
	} else if v4 != nil {
		r = f.ropeOf("rope_scaling", v4, r.Theta)
	}
	if f.raw("rope_theta") != nil {
		theta := f.number("rope_theta", defaultTheta)
		f.check(theta == r.Theta, "rope_theta %g and that of rope_parameters, %g, differ", theta, r.Theta)
	}
	f.check(r.Theta >= 1 && r.Theta <= 1e30, "rope_theta must be in [1, 1e30], is %g", r.Theta)
	return r
}

func (f *fields) ropeObject(key string) *fields {
	v := f.raw(key)
	if v == nil {
		return nil
	}
	sub := &fields{}
	if err := json.Unmarshal(v, &sub.m); err != nil {
		f.check(false, "%s must be an object, is %s", key, short(v))
		return nil
	}
	return sub
}

// ropeOf reads one object of rotary settings. Here every key changes the
// arithmetic, so one that is not known is refused.
func (f *fields) ropeOf(name string, o *fields, theta float64) Rope {
	known := []string{"rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
		"original_max_position_embeddings", "partial_rotary_factor"}
	for key := range o.m {
		o.check(o.raw(key) == nil || slices.Contains(known, key), "%q is not supported", key)
	}
	r := Rope{Theta: o.number("rope_theta", theta)}
	partial := o.number("partial_rotary_factor", 1)
	o.check(partial == 1, "partial_rotary_factor %g is not supported; it must be 1", partial)
	kind, old := o.text("rope_type"), o.text("type")
	o.check(kind == "" || old == "" || kind == old, "rope_type %q and type %q differ", kind, old)
	if kind == "" {
		kind = old
	}
	switch kind {
	case "default", "":
		o.check(kind != "" || o.raw("factor") == nil, "rope_type is missing")
	case "llama3":
		r.Scaling = &Llama3{
			Factor: o.number("factor", 0), LowFreq: o.number("low_freq_factor", 0), HighFreq: o.number("high_freq_factor", 0),
			Original: o.size("original_max_position_embeddings", maxVocab),
		}
		l := r.Scaling
		o.check(l.Factor >= 1, "factor must be 1 or more, is %g", l.Factor)
		o.check(l.LowFreq > 0 && l.HighFreq > l.LowFreq, "0 < low_freq_factor < high_freq_factor must hold, they are %g and %g", l.LowFreq, l.HighFreq)
	default:
		o.check(false, "rope_type %q is not supported; default and llama3 are", kind)
	}
	slices.Sort(o.faults)
	f.check(len(o.faults) == 0, "%s: %s", name, strings.Join(o.faults, ", "))
	return r
}
