//go:build torch

package torch

// #include "layers.h"
import "C"

// objective is the loss as the backward pass needs it.
type objective struct {
	// gradient gets the scores of some of a row's wanted tokens, in order, the
	// first of them at index first, and returns the gradient of the loss by them.
	gradient func(first int, got scores) scores
	// whole says that it needs the scores of all wanted tokens at once. That
	// costs one more product of the head.
	whole bool
}

// chunk is some rows of the head and what was computed of them.
type chunk struct {
	hidden, targets            tensor // [n,E] and [n]
	logits, logp, entropy, lse tensor // float32, [n,V] and [n]
	first, n                   int
}

// chunks gives body each chunk of the head's rows in turn; its tensors live
// until body returns. One chunk is there at a time.
func (n *network) chunks(s *scope, hidden tensor, r row, temperature float64, body func(in *scope, c chunk)) {
	targets := s.ints(r.targets, n.device)
	for first := 0; first < len(r.targets); first += n.rows {
		in := newScope(s.counter)
		s.within(in, func() {
			c := chunk{first: first, n: min(n.rows, len(r.targets)-first)}
			c.hidden, c.targets = in.slice(hidden, int64(first), int64(c.n)), in.slice(targets, int64(first), int64(c.n))
			c.logits, c.logp, c.entropy, c.lse = in.logits(c.hidden, n.head.value, c.targets, temperature)
			if in.err == nil {
				body(in, c)
			}
		})
		in.close()
	}
}

// read is the scores of all rows.
func (n *network) read(s *scope, hidden tensor, r row, temperature float64) scores {
	var all scores
	n.chunks(s, hidden, r, temperature, func(in *scope, c chunk) {
		all.logp = append(all.logp, in.read(c.logp, c.n)...)
		all.entropy = append(all.entropy, in.read(c.entropy, c.n)...)
	})
	return all
}

// throughHead asks o for the gradient of the loss, chunk by chunk while the
// chunk's logits are there, and returns that of hidden [N,E].
func (n *network) throughHead(s *scope, hidden tensor, r row, temperature float64, o objective) tensor {
	gradient := o.gradient
	if o.whole {
		got := n.read(s, hidden, r, temperature)
		if s.err != nil {
			return tensor{}
		}
		all := o.gradient(0, got)
		gradient = func(first int, got scores) scores {
			part := scores{logp: all.logp[first:][:len(got.logp)]}
			if all.entropy != nil {
				part.entropy = all.entropy[first:][:len(got.logp)]
			}
			return part
		}
	}
	var parts []tensor
	n.chunks(s, hidden, r, temperature, func(in *scope, c chunk) {
		grad := gradient(c.first, scores{in.read(c.logp, c.n), in.read(c.entropy, c.n)})
		dlogp, dentropy := in.floats(grad.logp, n.device), tensor{}
		if grad.entropy != nil {
			dentropy = in.floats(grad.entropy, n.device)
		}
		part := in.logitsBackward(c, n.head.value, dlogp, dentropy, temperature, n.head.summed(in))
		parts = append(parts, s.adopt(in.keep(part)))
	})
	if len(parts) == 1 {
		return parts[0]
	}
	all := s.cat(parts)
	for _, p := range parts {
		s.drop(p)
	}
	return all
}

// headRows is how many rows of logits exist at a time: enough for the products
// to run at full speed, and for the traffic of the head's weight and its
// gradient, which each chunk reads and writes whole, to be small beside them.
// On CUDA the softmax takes up to three times that for a moment.
func headRows(vocab, device int) int {
	bytes := 256 << 20
	if device >= 0 {
		bytes = 512 << 20
	}
	return min(max(64, bytes/(4*vocab)), 4096)
}

// logits is the head's product of hidden [n,E], and the scores of targets [n]:
// see layers.h.
func (s *scope) logits(hidden, weight, targets tensor, temperature float64) (logits, logp, entropy, lse tensor) {
	out := s.native("logits", []tensor{hidden, weight, targets}, 4, func(out []C.jr_tensor) *C.char {
		return C.jr_logits(handle(hidden), handle(weight), handle(targets), C.double(temperature), &out[0], &out[1], &out[2], &out[3])
	})
	return out[0], out[1], out[2], out[3]
}

// logitsBackward returns the gradient of c.hidden, given dlogp and dentropy [n]
// (no tensor where the loss has no entropy in it), and adds the head weight's to
// dweight (float32). It uses c.logits up.
func (s *scope) logitsBackward(c chunk, weight, dlogp, dentropy tensor, temperature float64, dweight tensor) tensor {
	return s.native("logits_backward", []tensor{c.logits, c.hidden, weight, dlogp, dweight}, 1, func(out []C.jr_tensor) *C.char {
		return C.jr_logits_backward(handle(c.logits), handle(c.hidden), handle(weight), handle(c.targets), handle(c.lse), handle(c.entropy),
			handle(dlogp), handle(dentropy), C.double(temperature), handle(dweight), &out[0])
	})[0]
}
