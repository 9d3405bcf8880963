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
char *jr_load_cuda(int *devices); // cuda.cpp

// Large tensors' memory on the CPU. keep makes this process keep it when they
// are freed, for the next ones; trim gives what lies idle back to the kernel.
void jr_keep_memory(void);
void jr_trim_memory(void);

// Bytes in, bytes out. kind is at::ScalarType; device is -1 (CPU) or a CUDA index.
char *jr_from_bytes(const void *data, const int64_t *shape, int dims, int kind, int device, int as_kind, jr_tensor *out);
char *jr_to_bytes(jr_tensor t, int as_kind, void *dst, size_t bytes);

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
