// The arithmetic of generation on a CPU: float32 rows through the layers of a
// decoder, and a paged cache of keys and values. Every function does the same
// operations in the same order for a row whatever rows stand beside it and
// however many threads share the work, so that results do not depend on the
// batch. (The one exception is asked for: a matrix that is not invariant.)
//
// Functions that can fail return NULL, or a message that the caller frees.
#ifndef JUSTRL_DECODE_H
#define JUSTRL_DECODE_H
#include <stdint.h>
#include "justrl.h"
#ifdef __cplusplus
extern "C" {
#endif

// Tokens of one block of the cache. A block of a layer's keys is [K][D][16], of its values [K][16][D].
#define JR_BLOCK 16

// Whether this CPU has the instructions that the code was compiled for.
char *jr_decode_supported(void);

// A linear layer: the rows of n weights [O_i,I] below one another, with biases
// [O_i] (all or none; NULL is none). invariant 0 leaves the multiplication to
// libtorch, whose results depend on the number of rows.
typedef void *jr_matrix;
char *jr_matrix_new(jr_tensor *weights, jr_tensor *biases, int n, int invariant, jr_matrix *out);
void jr_matrix_free(jr_matrix m);
// y [rows,O] = x [rows,I] · weightᵀ + bias; with add, y += the same.
char *jr_matrix_apply(jr_matrix m, const float *x, int64_t rows, int add, float *y);

// y = x / sqrt(mean(x²) + eps) · weight over the last axis of x [rows,E].
void jr_decode_norm(const float *x, int64_t rows, int64_t width, const float *weight, float eps, float *y);

// out [rows,F] = silu(gate) · up for x [rows,2F], gate first.
void jr_decode_swiglu(const float *x, int64_t rows, int64_t width, float *out);

typedef struct {
  int64_t heads, kv_heads, dim; // H, K, D
  const float *q_norm, *k_norm; // [D], or NULL
  float eps;
  const float *cos, *sin; // [positions, D/2]
} jr_heads;

// Takes x [rows,(H+2K)D], queries first: normalises heads where asked, turns
// queries and keys by their position, and writes keys and values to slot
// (block·16 + offset) of the layer's cache.
void jr_decode_enter(jr_heads h, float *x, int64_t rows, const int32_t *positions, const int32_t *slots, float *keys, float *values);

// Attention of each row's queries to positions 0…position of its sequence,
// whose blocks are tables[starts[row]…]. out [rows,H·D].
void jr_decode_attend(jr_heads h, const float *x, int64_t rows, const int32_t *positions, const int32_t *tables, const int32_t *starts,
                      const float *keys, const float *values, float *out);

// One token to draw from a row of logits.
typedef struct {
  int64_t row;      // of logits: what log-prob and rank are of
  int64_t adjusted; // of adjusted, to draw from instead; -1 draws from the row itself
  double temperature, top_p, min_p;
  int64_t top_k; // -1 off
  double uniform; // in [0, 1): where in the distribution
  int32_t processed; // 1: the log-prob is of the distribution drawn from, unless temperature is 0
  int32_t given;  // 1: id is there already, and is only to be judged
  int32_t id;     // out: the token
  int32_t rank;   // out: 1 + tokens more likely than it; 0 where the row's logits are not finite
  double logprob; // out: natural, at temperature 1 unless processed
} jr_draw;

void jr_decode_draw(const float *logits, const float *adjusted, int64_t vocab, jr_draw *draws, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
