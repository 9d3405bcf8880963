// Package grpo is the definition of the training objective: advantages and
// policy loss of GRPO (arXiv 2402.03300) as JustRL (arXiv 2512.16649) uses
// it, in float64 and without torch. updater/torch asks it for dLoss/dlogp and
// does the rest of the derivative; there is no second formula.
//
// For response i with advantage A (one number for all its tokens, [Advantages])
// and token t with log-probs logp (now) and old (of the weights that sampled):
//
//	ratio = exp(clamp(logp − old, −20, 20))
//	L1    = −A · ratio
//	L2    = −A · clamp(ratio, 1 − clip_low, 1 + clip_high)
//	l     = max(L1, L2)                     PPO's clip, with DAPO's higher upper bound (arXiv 2503.14476)
//	l     = min(l, −A · clip_c)  if A < 0   dual clip (arXiv 1912.09729)
//	Loss  = Σ_i w_i Σ_t l_it
//
// The aggregation is only a choice of the weights w_i, which are fixed by the
// lengths of the mini-batch's responses before the first token is seen. With
// S responses of T_i tokens:
//
//	token-mean                 w_i = 1 / Σ_j T_j                        the paper's
//	token-mean-verl            w_i = (|M| / S) / Σ_{j∈M} T_j            M: the micro-batch of i
//	seq-mean-token-sum         w_i = 1 / S
//	seq-mean-token-mean        w_i = 1 / (S · T_i)
//	seq-mean-token-sum-norm    w_i = 1 / norm_tokens                    0: the longest T_j
//
// token-mean-verl is what verl computes when it sums gradients over dynamic
// micro-batches: it changes with the packing. The others do not: whatever the
// packs and their order, loss, gradients and metrics are the same to the last
// bit. (seq-mean-token-sum-norm is verl's name; it has no mean over sequences.)
//
// The bound of ±20 on the log-ratio is that of later versions of verl; the
// authors' has none, which differs for ratios above 4.8e8 or below 2.1e-9 only.
//
// # Ties
//
// The derivative at the kinks is that of torch's autograd on the same
// formula: max and min of two equal values give half to each; clamp passes
// the gradient on its boundaries. So inside the clip range, boundaries
// included, dl/dlogp = −A · ratio; where the clip holds the loss it is 0; at
// ratio = clip_c exactly, A < 0, it is half.
//
// Deliberately absent: KL penalty and reference model, entropy bonus, length
// penalty, dynamic sampling, importance weights for truncated sampling.
package grpo
