//go:build torch

#include "decode.h"
#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "simd.h"

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

using at::Tensor;
using jr::guard;

namespace {

using namespace jr::simd;

struct Free {
  void operator()(float *p) const { std::free(p); }
};
using Buffer = std::unique_ptr<float, Free>;

Buffer buffer(int64_t n) {
  void *p = std::aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
  TORCH_CHECK(p != nullptr, "no memory for ", n * sizeof(float), " bytes of weights");
  std::memset(p, 0, n * sizeof(float));
  return Buffer(static_cast<float *>(p));
}

// Outputs are computed 16 at a time, from weights that lie [O/16][I][16].
constexpr int64_t kPanel = 16;
// Inputs are summed in stretches of this many, which keeps the rounding error of long rows down.
constexpr int64_t kStretch = 256;

struct Matrix {
  int64_t in = 0, out = 0, panels = 0;
  Buffer packed, bias; // bias [panels·16], zero where there is none
  Tensor weight, whole_bias; // of a matrix that is not invariant
};

// R rows of x times one panel: y[r][0..16) over the inputs, in one order
// whatever R is. ldx and ldy are the distances between rows.
template <int R> inline void tile(const float *x, int64_t ldx, const float *panel, int64_t in, const float *bias, f8 (&sum)[R][2]) {
  for (int r = 0; r < R; r++) sum[r][0] = load(bias), sum[r][1] = load(bias + 8);
  for (int64_t from = 0; from < in; from += kStretch) {
    int64_t to = std::min(in, from + kStretch);
    f8 acc[R][2];
    for (int r = 0; r < R; r++) acc[r][0] = f8{}, acc[r][1] = f8{};
    for (int64_t k = from; k < to; k++) {
      f8 w0 = load(panel + k * kPanel), w1 = load(panel + k * kPanel + 8);
      for (int r = 0; r < R; r++) {
        f8 v = all(x[r * ldx + k]);
        acc[r][0] = fma8(v, w0, acc[r][0]);
        acc[r][1] = fma8(v, w1, acc[r][1]);
      }
    }
    for (int r = 0; r < R; r++) sum[r][0] += acc[r][0], sum[r][1] += acc[r][1];
  }
}

template <int R> void rows_of(const Matrix &m, int64_t panel, const float *x, bool add, float *y) {
  f8 sum[R][2];
  tile<R>(x, m.in, m.packed.get() + panel * m.in * kPanel, m.in, m.bias.get() + panel * kPanel, sum);
  int64_t first = panel * kPanel, width = std::min(kPanel, m.out - first);
  for (int r = 0; r < R; r++) {
    float *to = y + r * m.out + first;
    if (width == kPanel) {
      if (add) sum[r][0] += load(to), sum[r][1] += load(to + 8);
      store(to, sum[r][0]);
      store(to + 8, sum[r][1]);
      continue;
    }
    float part[kPanel];
    store(part, sum[r][0]);
    store(part + 8, sum[r][1]);
    for (int64_t i = 0; i < width; i++) to[i] = add ? to[i] + part[i] : part[i];
  }
}

// A panel for all rows: it stays in the cache while the rows go by.
void panel_of(const Matrix &m, int64_t panel, const float *x, int64_t rows, bool add, float *y) {
  constexpr int R = 6; // 12 of 16 registers for sums
  int64_t r = 0;
  for (; r + R <= rows; r += R) rows_of<R>(m, panel, x + r * m.in, add, y + r * m.out);
  x += r * m.in, y += r * m.out;
  switch (rows - r) {
  case 5: rows_of<5>(m, panel, x, add, y); break;
  case 4: rows_of<4>(m, panel, x, add, y); break;
  case 3: rows_of<3>(m, panel, x, add, y); break;
  case 2: rows_of<2>(m, panel, x, add, y); break;
  case 1: rows_of<1>(m, panel, x, add, y); break;
  }
}

// How many items of some floating-point operations each are worth a thread.
int64_t grain(int64_t flops) { return std::max<int64_t>(1, 400000 / std::max<int64_t>(1, flops)); }

void norm_row(const float *x, int64_t width, const float *weight, float eps, float *y) {
  f8 squares{};
  int64_t i = 0;
  for (; i + 8 <= width; i += 8) squares = fma8(load(x + i), load(x + i), squares);
  float sum = sum8(squares);
  for (; i < width; i++) sum += x[i] * x[i];
  float scale = 1.f / std::sqrt(sum / static_cast<float>(width) + eps);
  for (i = 0; i + 8 <= width; i += 8) store(y + i, load(weight + i) * (load(x + i) * all(scale)));
  for (; i < width; i++) y[i] = weight[i] * (x[i] * scale);
}

void rotate_row(float *x, int64_t dim, const float *cos, const float *sin) {
  int64_t half = dim / 2;
  for (int64_t d = 0; d < half; d++) {
    float a = x[d], b = x[d + half];
    x[d] = a * cos[d] - b * sin[d];
    x[d + half] = b * cos[d] + a * sin[d];
  }
}

// Attention of the G queries of one key head of one row; scores is scratch of blocks·16 floats.
void attend_head(const float *q, int64_t dim, float scale, int64_t position, const int32_t *table, int64_t kv_heads, int64_t head,
                 const float *keys, const float *values, float *scores, float *out) {
  int64_t blocks = position / JR_BLOCK + 1;
  const i8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
  f8 most = all(-INFINITY);
  for (int64_t b = 0; b < blocks; b++) {
    const float *k = keys + (table[b] * kv_heads + head) * dim * JR_BLOCK;
    f8 s0{}, s1{};
    for (int64_t d = 0; d < dim; d++) {
      f8 v = all(q[d]);
      s0 = fma8(v, load(k + d * JR_BLOCK), s0);
      s1 = fma8(v, load(k + d * JR_BLOCK + 8), s1);
    }
    int32_t left = static_cast<int32_t>(position - b * JR_BLOCK); // the last key of the block that may be seen
    s0 = lane <= left ? s0 * all(scale) : all(-INFINITY);
    s1 = lane + 8 <= left ? s1 * all(scale) : all(-INFINITY);
    store(scores + b * JR_BLOCK, s0);
    store(scores + b * JR_BLOCK + 8, s1);
    most = max8(most, max8(s0, s1));
  }
  float top = most[0];
  for (int i = 1; i < 8; i++) top = std::max(top, most[i]);
  f8 total{};
  for (int64_t i = 0; i < blocks * JR_BLOCK; i += 8) {
    f8 e = exp8(load(scores + i) - all(top));
    store(scores + i, e);
    total += e;
  }
  f8 share = all(1.f / sum8(total));
  for (int64_t from = 0; from < dim; from += 64) { // at most 8 registers of sums
    int64_t width = std::min<int64_t>(64, dim - from);
    f8 sum[8] = {};
    for (int64_t b = 0; b < blocks; b++) {
      const float *v = values + (table[b] * kv_heads + head) * dim * JR_BLOCK + from;
      int64_t seen = std::min<int64_t>(JR_BLOCK, position - b * JR_BLOCK + 1); // what lies behind may be anything
      for (int64_t j = 0; j < seen; j++) {
        f8 p = all(scores[b * JR_BLOCK + j]);
        for (int64_t d = 0; d < width / 8; d++) sum[d] = fma8(p, load(v + j * dim + d * 8), sum[d]);
      }
    }
    for (int64_t d = 0; d < width / 8; d++) store(out + from + d * 8, sum[d] * share);
    for (int64_t d = width / 8 * 8; d < width; d++) { // of a head that is no multiple of 8
      float last = 0;
      for (int64_t j = 0; j <= position; j++) {
        last = std::fma(scores[j], values[((table[j / JR_BLOCK] * kv_heads + head) * JR_BLOCK + j % JR_BLOCK) * dim + from + d], last);
      }
      out[from + d] = last * share[0];
    }
  }
}

// ---- drawing ----

float largest(const float *x, int64_t n) {
  f8 most = all(-INFINITY);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) most = max8(load(x + i), most);
  float top = -INFINITY;
  for (int j = 0; j < 8; j++) top = std::max(top, most[j]);
  for (; i < n; i++) top = std::max(top, x[i]);
  return top;
}

// Weights e^((x - top)·by) into w (may be NULL) and their sum. Stretches are summed in float64.
constexpr int64_t kSums = 64;
double weigh(const float *x, int64_t n, float top, float by, float *w) {
  double total = 0;
  for (int64_t from = 0; from < n; from += kSums) {
    int64_t to = std::min(n, from + kSums), i = from;
    f8 sum{};
    for (; i + 8 <= to; i += 8) {
      f8 e = exp8((load(x + i) - all(top)) * all(by));
      if (w != nullptr) store(w + i, e);
      sum += e;
    }
    if (i < to) {
      float last[8];
      for (int j = 0; j < 8; j++) last[j] = i + j < to ? x[i + j] : -INFINITY;
      f8 e = exp8((load(last) - all(top)) * all(by));
      store(last, e);
      if (w != nullptr) std::copy(last, last + (to - i), w + i);
      sum += e;
    }
    total += sum8(sum);
  }
  return total;
}

// The token at which the running sum of weights passes `at`.
int64_t pick(const float *w, int64_t n, double at) {
  int64_t last = 0;
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    if (w[i] <= 0) continue;
    last = i;
    sum += w[i];
    if (sum > at) return i;
  }
  return last; // rounding
}

// Zeroes the weights that min-p, then top-k, then top-p leave out, as vLLM
// does; the largest weight is 1. Returns the sum of the rest.
double truncate(float *w, int64_t n, const jr_draw &d) {
  std::vector<float> kept;
  for (int64_t i = 0; i < n; i++) {
    if (w[i] < static_cast<float>(d.min_p)) w[i] = 0;
    if (w[i] > 0) kept.push_back(w[i]);
  }
  std::sort(kept.begin(), kept.end(), std::greater<float>());
  size_t keep = d.top_k > 0 ? std::min<size_t>(kept.size(), d.top_k) : kept.size();
  while (keep < kept.size() && keep > 0 && kept[keep] == kept[keep - 1]) keep++; // ties stay
  if (d.top_p < 1) {
    double total = std::accumulate(kept.begin(), kept.begin() + keep, 0.0), sum = 0;
    size_t i = 0;
    for (; i < keep && (i == 0 || sum < d.top_p * total); i++) sum += kept[i];
    keep = i;
  }
  float least = keep > 0 ? kept[keep - 1] : 0;
  double total = 0;
  for (int64_t i = 0; i < n; i++) {
    if (w[i] < least) w[i] = 0;
    total += w[i];
  }
  return total;
}

bool finite(const float *x, int64_t n) {
  f8 zero{};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) zero += load(x + i) - load(x + i); // NaN unless finite
  float sum = sum8(zero);
  for (; i < n; i++) sum += x[i] - x[i];
  return sum == 0;
}

void draw(const float *logits, const float *from, int64_t n, jr_draw &d, std::vector<float> &w) {
  d.rank = 0;
  if (!finite(logits, n)) return;
  int64_t id = d.id;
  float top = largest(from, n);
  double drawn = 0; // log of the sum of weights
  if (d.given) {
  } else if (d.temperature == 0) {
    id = 0;
    while (id < n - 1 && from[id] != top) id++;
  } else {
    w.resize(n);
    double total = weigh(from, n, top, static_cast<float>(1 / d.temperature), w.data());
    if (d.top_k > 0 || d.top_p < 1 || d.min_p > 0) total = truncate(w.data(), n, d);
    id = pick(w.data(), n, d.uniform * total);
    drawn = std::log(total);
  }
  float most = largest(logits, n);
  double total = weigh(logits, n, most, 1, nullptr);
  int32_t above = 0;
  for (int64_t i = 0; i < n; i++) above += logits[i] > logits[id];
  d.id = static_cast<int32_t>(id);
  d.rank = above + 1;
  d.logprob = static_cast<double>(logits[id]) - static_cast<double>(most) - std::log(total);
  if (d.processed && !d.given && d.temperature > 0) {
    d.logprob = (static_cast<double>(from[id]) - static_cast<double>(top)) / d.temperature - drawn;
  }
}

} // namespace

extern "C" {

char *jr_decode_supported(void) {
  return supported() ? nullptr : strdup("this CPU lacks AVX2 and FMA");
}

char *jr_matrix_new(jr_tensor *weights, jr_tensor *biases, int n, int invariant, jr_matrix *out) {
  return guard([&] {
    std::vector<Tensor> parts, tails;
    for (int i = 0; i < n; i++) {
      parts.push_back(jr::in(weights[i]));
      if (biases[i] != nullptr) tails.push_back(jr::in(biases[i]));
    }
    Tensor w = at::cat(parts).to(at::kFloat).contiguous();
    auto m = std::make_unique<Matrix>();
    m->out = w.size(0), m->in = w.size(1);
    m->panels = (m->out + kPanel - 1) / kPanel;
    TORCH_CHECK(tails.empty() || static_cast<int>(tails.size()) == n, "some of the weights have a bias and some have none");
    Tensor b = tails.empty() ? Tensor() : at::cat(tails).to(at::kFloat).contiguous();
    if (!invariant) {
      m->weight = w, m->whole_bias = b;
    } else {
      m->packed = buffer(m->panels * m->in * kPanel);
      m->bias = buffer(m->panels * kPanel);
      if (b.defined()) std::memcpy(m->bias.get(), b.const_data_ptr<float>(), m->out * sizeof(float));
      const float *from = w.const_data_ptr<float>();
      at::parallel_for(0, m->panels, 1, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin * kPanel; o < std::min(m->out, end * kPanel); o++) {
          float *to = m->packed.get() + o / kPanel * m->in * kPanel + o % kPanel;
          for (int64_t k = 0; k < m->in; k++) to[k * kPanel] = from[o * m->in + k];
        }
      });
    }
    *out = m.release();
  });
}

void jr_matrix_free(jr_matrix m) { delete static_cast<Matrix *>(m); }

char *jr_matrix_apply(jr_matrix m_, const float *x, int64_t rows, int add, float *y) {
  const Matrix &m = *static_cast<Matrix *>(m_);
  if (m.packed) {
    at::parallel_for(0, m.panels, grain(2 * rows * m.in * kPanel), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; p++) panel_of(m, p, x, rows, add != 0, y);
    });
    return nullptr;
  }
  return guard([&] {
    at::NoGradGuard no_grad;
    Tensor in = at::from_blob(const_cast<float *>(x), {rows, m.in}), to = at::from_blob(y, {rows, m.out});
    Tensor got = m.whole_bias.defined() ? at::addmm(m.whole_bias, in, m.weight.t()) : at::mm(in, m.weight.t());
    if (add) to.add_(got);
    else to.copy_(got);
  });
}

void jr_decode_norm(const float *x, int64_t rows, int64_t width, const float *weight, float eps, float *y) {
  at::parallel_for(0, rows, grain(8 * width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) norm_row(x + r * width, width, weight, eps, y + r * width);
  });
}

void jr_decode_swiglu(const float *x, int64_t rows, int64_t width, float *out) {
  at::parallel_for(0, rows, grain(30 * width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const float *gate = x + r * 2 * width, *up = gate + width;
      float *to = out + r * width;
      int64_t i = 0;
      for (; i + 8 <= width; i += 8) {
        f8 g = load(gate + i), e = exp8(max8(all(-87.f), -g < all(87.f) ? -g : all(87.f)));
        store(to + i, g / (all(1.f) + e) * load(up + i));
      }
      for (; i < width; i++) to[i] = gate[i] / (1.f + std::exp(-gate[i])) * up[i];
    }
  });
}

void jr_decode_enter(jr_heads h, float *x, int64_t rows, const int32_t *positions, const int32_t *slots, float *keys, float *values) {
  int64_t D = h.dim, H = h.heads, K = h.kv_heads, half = D / 2;
  at::parallel_for(0, rows, grain(8 * (H + 2 * K) * D), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float *q = x + r * (H + 2 * K) * D, *k = q + H * D, *v = k + K * D;
      const float *cos = h.cos + positions[r] * half, *sin = h.sin + positions[r] * half;
      for (int64_t i = 0; i < H + K; i++) { // keys follow queries
        float *head = q + i * D;
        const float *norm = i < H ? h.q_norm : h.k_norm;
        if (norm != nullptr) norm_row(head, D, norm, h.eps, head);
        rotate_row(head, D, cos, sin);
      }
      int64_t block = slots[r] / JR_BLOCK, at = slots[r] % JR_BLOCK;
      for (int64_t i = 0; i < K; i++) {
        float *kb = keys + (block * K + i) * D * JR_BLOCK, *vb = values + (block * K + i) * D * JR_BLOCK;
        for (int64_t d = 0; d < D; d++) kb[d * JR_BLOCK + at] = k[i * D + d];
        std::copy(v + i * D, v + (i + 1) * D, vb + at * D);
      }
    }
  });
}

void jr_decode_attend(jr_heads h, const float *x, int64_t rows, const int32_t *positions, const int32_t *tables, const int32_t *starts,
                      const float *keys, const float *values, float *out) {
  int64_t D = h.dim, H = h.heads, K = h.kv_heads, G = H / K;
  float scale = 1.f / std::sqrt(static_cast<float>(D));
  int64_t longest = rows == 0 ? 0 : *std::max_element(positions, positions + rows) + JR_BLOCK;
  at::parallel_for(0, rows, grain(4 * H * D * (longest / 2 + 1)), [&](int64_t begin, int64_t end) {
    std::vector<float> scores(longest + JR_BLOCK);
    for (int64_t r = begin; r < end; r++) {
      for (int64_t head = 0; head < H; head++) {
        attend_head(x + r * (H + 2 * K) * D + head * D, D, scale, positions[r], tables + starts[r], K, head / G, keys, values,
                    scores.data(), out + (r * H + head) * D);
      }
    }
  });
}

void jr_decode_draw(const float *logits, const float *adjusted, int64_t vocab, jr_draw *draws, int64_t n) {
  at::parallel_for(0, n, grain(40 * vocab), [&](int64_t begin, int64_t end) {
    std::vector<float> weights;
    for (int64_t i = begin; i < end; i++) {
      jr_draw &d = draws[i];
      const float *row = logits + d.row * vocab;
      draw(row, d.adjusted < 0 ? row : adjusted + d.adjusted * vocab, vocab, d, weights);
    }
  });
}

} // extern "C"

#if defined(__x86_64__)
#pragma GCC pop_options
#endif
