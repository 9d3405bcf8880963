// The pieces of a decoder layer, each with its gradient by hand, as C functions
// over at::Tensor handles. No graph is recorded: the caller keeps what a
// backward function asks for. Messages as in justrl.h.
//
// On a CPU with AVX2, float32 goes through one pass over the memory; every
// other case is the same formula in libtorch's operations.
#ifndef JUSTRL_LAYERS_H
#define JUSTRL_LAYERS_H
#include "justrl.h"
#ifdef __cplusplus
extern "C" {
#endif

// x [T,I] · weightᵀ, weight [O,I], + bias [O] (may be NULL) + residual [T,O] (may be NULL). A bias and a residual together are two operations.
char *jr_linear(jr_tensor x, jr_tensor weight, jr_tensor bias, jr_tensor residual, jr_tensor *out);
// dx [T,I] of it, given dy [T,O].
char *jr_linear_backward(jr_tensor dy, jr_tensor weight, jr_tensor *dx);
// dweight (float32 [O,I]) and dbias (float32 [O], may be NULL) of it: added to what is there, or with first written.
char *jr_linear_weights(jr_tensor dy, jr_tensor x, int first, jr_tensor dweight, jr_tensor dbias);

// Root mean square norm over the last axis, in float32: x / sqrt(mean(x²)+eps) * weight. rstd is float32 [rows,1].
char *jr_rms_norm(jr_tensor x, jr_tensor weight, double eps, jr_tensor *out, jr_tensor *rstd);
// Adds the gradient of x to dx and that of weight to dweight (float32). dx may be dy itself: it is then replaced.
char *jr_rms_norm_backward(jr_tensor dy, jr_tensor x, jr_tensor weight, jr_tensor rstd, jr_tensor dx, jr_tensor dweight);

// Turns each pair (d, d+D/2) of x [T,H,D], in place, by the angle of cos, sin [T,D/2]; back: by minus that angle.
char *jr_rotary(jr_tensor x, jr_tensor cos, jr_tensor sin, int back);

// gate_up is [T,2F], gates before ups. out [T,F] = silu(gate)·up.
char *jr_swiglu(jr_tensor gate_up, jr_tensor *out);
// Replaces gate_up by its gradient, given dout [T,F], and returns out once more.
char *jr_swiglu_backward(jr_tensor gate_up, jr_tensor dout, jr_tensor *out);

// Causal attention of packed sequences. q [T,H,D], k and v [T,K,D], H a multiple of K; lengths sum to T.
// out [T,H*D]; lse is what the backward pass needs beside the arguments (may be empty).
char *jr_attention(jr_tensor q, jr_tensor k, jr_tensor v, const int64_t *lengths, int n, jr_tensor *out, jr_tensor *lse);
// Writes the gradients of q, k and v, given dout, to dq, dk and dv.
char *jr_attention_backward(jr_tensor dout, jr_tensor q, jr_tensor k, jr_tensor v, jr_tensor out, jr_tensor lse,
                            const int64_t *lengths, int n, jr_tensor dq, jr_tensor dk, jr_tensor dv);

// The head. logits is hidden [n,E] · weightᵀ [V,E], float32 and not yet divided by the temperature. With
// p = softmax(logits / temperature), float32 [n] each: the log-probs of targets [n], the entropies −Σ p·log p,
// and lse, the log of the softmax's denominator.
char *jr_logits(jr_tensor hidden, jr_tensor weight, jr_tensor targets, double temperature,
                jr_tensor *logits, jr_tensor *logp, jr_tensor *entropy, jr_tensor *lse);
// Given dlogp [n] and dentropy [n] (may be NULL): dhidden [n,E], and dweight (float32 [V,E]) += the gradient of
// weight. Uses logits up.
char *jr_logits_backward(jr_tensor logits, jr_tensor hidden, jr_tensor weight, jr_tensor targets, jr_tensor lse, jr_tensor entropy,
                         jr_tensor dlogp, jr_tensor dentropy, double temperature, jr_tensor dweight, jr_tensor *dhidden);

#ifdef __cplusplus
}
#endif
#endif
