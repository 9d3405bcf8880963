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
//	Loss  = Σ_i w_i Σ_t l_it               with every option off, see below
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
// # Off in JustRL
//
// The recipe is what is above. Baselines need more, each a setting that is off
// by default and in JustRL's presets; an option that is off is not computed.
// With all of them,
//
//	Loss = Σ_i w_i Σ_t ( ρ_it · l_it + kl_coef · k_it − entropy_coef · H_it )
//
// KL to a reference model (kl_coef > 0), as verl's use_kl_loss. With
// d = logp − logp_reference, k estimates KL(policy ‖ reference) from the
// sampled token (Schulman, http://joschu.net/blog/kl-approx.html):
//
//	k1    k = d                                   dk/dlogp = 1
//	k2    k = d² / 2                              dk/dlogp = d
//	k3    k = clamp(exp(r) − 1 − r, −10, 10)      dk/dlogp = 1 − exp(r)
//	      with r = clamp(−d, −20, 20)
//
// k1 and k3 are unbiased as numbers; as a loss, on tokens of the policy
// itself, k2 has the gradient of the KL, k3 that of the other direction, and
// k1 one of 0 on average: it is there to reproduce and to measure. k3's clamps
// are verl's (low_var_kl), so that a baseline is verl's: a token more than 2.6
// nats below the reference, or 11 above, adds 10 and is not pulled back.
//
// Entropy bonus (entropy_coef > 0): H is the entropy of the distribution that
// the token is drawn from, at update.temperature.
//
// Sequence ratio (ratio: sequence; GSPO, arXiv 2507.18071): the tokens of a
// response share
//
//	s = exp(clamp(mean_t(logp − old), −20, 20))
//
// in place of their own ratio, in L1, L2 and the dual clip alike, and
// dl/dlogp_t is dl/ds · s: the stop-gradient form of GSPO-token, which verl
// has too. Under every aggregation here this is the derivative of the loss:
// T equal losses of which a token moves each by 1/T of the mean. Clip
// fractions stay shares of tokens. verl's GSPO has no dual clip (a large
// clip_c is none) and its log-ratio is bounded by 10 above.
//
// Truncated importance sampling (tis_cap > 0): ρ = min(exp(clamp(old −
// logp_server, −20, 20)), tis_cap) is what the server's own distribution
// differs by from the trainer's before the step, a constant without a
// gradient, token by token (verl's rollout_is: token). Under a sequence ratio
// each token's ρ goes with its own part of the gradient, as in verl.
//
// # Metrics
//
// Beside verl's: ppo_kl is k1 and ppo_kl_k3 is k3 of KL(old ‖ policy), from
// log-ratios held to ±20; kl_loss and entropy_loss are Σ w k and Σ w H;
// tis_mean and tis_capped are the mean ρ and the share of tokens at the cap.
//
// Deliberately absent: length penalty, dynamic sampling, KL in the reward, the
// full KL over the vocabulary, rejection of sequences.
package grpo
