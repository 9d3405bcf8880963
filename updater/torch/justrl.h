// What gotch's libtch lacks, as C functions over at::Tensor handles (the same
// handles as libtch's). Every function returns NULL, or a message that the
// caller frees; on a message no output was written.
#ifndef JUSTRL_TORCH_H
#define JUSTRL_TORCH_H
#include <stdint.h>
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef void *jr_tensor; // at::Tensor *

// Processes and devices.
char *jr_set_threads(int n);
char *jr_load_cuda(void); // load libtorch_cuda.so from beside libtorch_cpu.so
char *jr_cuda_count(int *n);
char *jr_synchronize(int device);

// Bytes in, bytes out. kind is at::ScalarType; device is -1 (CPU) or a CUDA index.
char *jr_from_bytes(const void *data, const int64_t *shape, int dims, int kind, int device, int as_kind, jr_tensor *out);
char *jr_to_bytes(jr_tensor t, int as_kind, void *dst, size_t bytes);

// Autograd: grads[i] = d(out · grad_out)/d(inputs[i]); frees the graph.
char *jr_grad(jr_tensor out, jr_tensor grad_out, jr_tensor *inputs, int n, jr_tensor *grads);

// Causal attention of packed sequences. q [T,H,D], k and v [T,K,D], H a multiple of K; lengths sum to T. out [T,H*D].
char *jr_attention(jr_tensor q, jr_tensor k, jr_tensor v, const int64_t *lengths, int n, jr_tensor *out);

// Root mean square norm over the last axis, in float32: x / sqrt(mean(x²)+eps) * weight.
char *jr_rms_norm(jr_tensor x, jr_tensor weight, double eps, jr_tensor *out);

// Rotary embedding of x [T,H,D] by cos, sin [T,D/2]; pairs are (d, d+D/2).
char *jr_rotary(jr_tensor x, jr_tensor cos, jr_tensor sin, jr_tensor *out);

// silu(gate) * up, elementwise.
char *jr_swiglu(jr_tensor gate, jr_tensor up, jr_tensor *out);

// Log-prob of targets [N] and entropy under softmax(hidden [N,E] · weightᵀ [V,E] / temperature), rows at a time. Outputs float32 [N].
char *jr_logprob(jr_tensor hidden, jr_tensor weight, jr_tensor targets, double temperature, int64_t rows,
                 jr_tensor *logp, jr_tensor *entropy, jr_tensor *lse);
// Given dlogp [N]: dhidden [N,E], and dweight (float32 [V,E]) += the gradient of weight.
// entropy and dentropy [N] are jr_logprob's and the gradient by it; both NULL where the loss has no entropy in it.
char *jr_logprob_backward(jr_tensor hidden, jr_tensor weight, jr_tensor targets, jr_tensor lse, jr_tensor dlogp,
                          jr_tensor entropy, jr_tensor dentropy, double temperature, int64_t rows, jr_tensor dweight, jr_tensor *dhidden);

// Optimizer. Lists of n tensors.
char *jr_grad_norm(jr_tensor *grads, int n, double *norm);
char *jr_scale(jr_tensor *ts, int n, double factor);
// step is the number of this update, from 1.
char *jr_adamw(jr_tensor *params, jr_tensor *grads, jr_tensor *m, jr_tensor *v, int n, int64_t step,
               double lr, double beta1, double beta2, double eps, double decay);

#ifdef __cplusplus
}
#endif
#endif
