//go:build torch

#include "layers.h"
#include "guard.h"
#include "simd.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

using at::Tensor;
using jr::fast;
using jr::give;
using jr::guard;
using jr::in;

namespace {

// Rows that a thread takes at least.
int64_t grain(int64_t width) { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, width)); }

} // namespace

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace {

using namespace jr::simd;

// body(i, n) for each stretch of n ≤ 8 floats; only the last may be shorter.
template <class F> inline void each8(int64_t width, F body) {
  int64_t i = 0;
  for (; i + 8 <= width; i += 8) body(i, int64_t(8));
  if (i < width) body(i, width - i);
}
inline f8 get(const float *p, int64_t n) { return n == 8 ? load(p) : load_part(p, n); }
inline void put(float *p, f8 v, int64_t n) { n == 8 ? store(p, v) : store_part(p, v, n); }

float norm_row(const float *x, const float *w, int64_t E, double eps, float *out) {
  f8 squares{};
  each8(E, [&](int64_t i, int64_t n) {
    f8 v = get(x + i, n);
    squares = fma8(v, v, squares);
  });
  float rstd = 1.f / std::sqrt(sum8(squares) / float(E) + float(eps));
  f8 r = all(rstd);
  each8(E, [&](int64_t i, int64_t n) { put(out + i, get(w + i, n) * (get(x + i, n) * r), n); });
  return rstd;
}

// With x̂ = x·rstd: dx += rstd·(dy·w − x̂·mean(dy·w·x̂)), dw += dy·x̂. dx may be dy, and is then replaced.
void norm_row_backward(const float *dy, const float *x, const float *w, int64_t E, float rstd, float *dx, float *dw) {
  f8 dot{}, r = all(rstd);
  each8(E, [&](int64_t i, int64_t n) { dot = fma8(get(dy + i, n) * get(w + i, n), get(x + i, n) * r, dot); });
  f8 mean = all(sum8(dot) / float(E));
  bool replace = dx == dy;
  each8(E, [&](int64_t i, int64_t n) {
    f8 g = get(dy + i, n), hat = get(x + i, n) * r;
    put(dw + i, fma8(g, hat, get(dw + i, n)), n);
    f8 d = (g * get(w + i, n) - hat * mean) * r;
    put(dx + i, replace ? d : get(dx + i, n) + d, n);
  });
}

void turn_row(float *x, const float *cos, const float *sin, int64_t heads, int64_t half, int64_t stride, bool back) {
  for (int64_t h = 0; h < heads; h++) {
    float *a = x + h * stride, *b = a + half;
    each8(half, [&](int64_t i, int64_t n) {
      f8 x1 = get(a + i, n), x2 = get(b + i, n), c = get(cos + i, n), s = get(sin + i, n);
      if (back) s = -s;
      put(a + i, x1 * c - x2 * s, n);
      put(b + i, x2 * c + x1 * s, n);
    });
  }
}

inline f8 sigmoid(f8 g) {
  f8 low = -g < all(87.f) ? -g : all(87.f);
  return all(1.f) / (all(1.f) + exp8(low));
}

void swiglu_row(const float *gate, const float *up, int64_t F, float *out) {
  each8(F, [&](int64_t i, int64_t n) {
    f8 g = get(gate + i, n);
    put(out + i, g * sigmoid(g) * get(up + i, n), n);
  });
}

void swiglu_row_backward(float *gate, float *up, const float *dout, int64_t F, float *out) {
  each8(F, [&](int64_t i, int64_t n) {
    f8 g = get(gate + i, n), u = get(up + i, n), d = get(dout + i, n), s = sigmoid(g), silu = g * s;
    put(out + i, silu * u, n);
    put(up + i, d * silu, n);
    put(gate + i, d * u * (s * (all(1.f) + g * (all(1.f) - s))), n);
  });
}

} // namespace

#if defined(__x86_64__)
#pragma GCC pop_options
#endif

namespace {

// ---- the same in libtorch's operations ----

Tensor rows_of(const Tensor &x) { return x.reshape({-1, x.size(-1)}); }

// The rows of x [T,E] or [T,H,E]: all but the last axis in one.
struct Rows {
  float *data;
  int64_t count, inner, outer_stride, inner_stride;

  explicit Rows(const Tensor &x)
      : data(const_cast<float *>(x.const_data_ptr<float>())), count(x.numel() / x.size(-1)), inner(x.dim() == 3 ? x.size(1) : 1),
        outer_stride(x.stride(0)), inner_stride(x.dim() == 3 ? x.stride(1) : 0) {}
  float *operator[](int64_t i) const { return data + i / inner * outer_stride + i % inner * inner_stride; }
};

void norm_fast(const Tensor &x, const Tensor &weight, double eps, const Tensor &out, const Tensor &rstd) {
  int64_t E = x.size(-1);
  Rows px(x), o(out);
  const float *w = weight.const_data_ptr<float>();
  float *r = rstd.mutable_data_ptr<float>();
  at::parallel_for(0, px.count, grain(E), [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) r[i] = norm_row(px[i], w, E, eps, o[i]);
  });
}

void norm_backward_fast(const Tensor &dy, const Tensor &x, const Tensor &weight, const Tensor &rstd, const Tensor &dx, const Tensor &dweight) {
  int64_t E = x.size(-1);
  Rows g(dy), px(x), d(dx);
  const float *w = weight.const_data_ptr<float>(), *r = rstd.const_data_ptr<float>();
  // Blocks of rows are summed in float32 and then in their order in float64, so
  // that the number of threads changes nothing.
  constexpr int64_t kBlock = 64;
  int64_t blocks = (px.count + kBlock - 1) / kBlock;
  std::vector<float> sums(blocks * E);
  at::parallel_for(0, blocks, std::max<int64_t>(1, grain(E) / kBlock), [&](int64_t from, int64_t to) {
    for (int64_t i = from * kBlock; i < std::min(to * kBlock, px.count); i++)
      norm_row_backward(g[i], px[i], w, E, r[i], d[i], sums.data() + i / kBlock * E);
  });
  float *dw = dweight.mutable_data_ptr<float>();
  for (int64_t i = 0; i < E; i++) {
    double sum = 0;
    for (int64_t k = 0; k < blocks; k++) sum += sums[k * E + i];
    dw[i] += float(sum);
  }
}

} // namespace

extern "C" {

char *jr_linear(jr_tensor x_, jr_tensor weight_, jr_tensor bias_, jr_tensor residual_, jr_tensor *out) {
  return guard([&] {
    const Tensor &x = in(x_), w = in(weight_).t();
    if (residual_ != nullptr) {
      Tensor y = at::addmm(in(residual_), x, w);
      if (bias_ != nullptr) y.add_(in(bias_));
      *out = give(y);
    } else {
      *out = give(bias_ != nullptr ? at::addmm(in(bias_), x, w) : at::mm(x, w));
    }
  });
}

char *jr_linear_backward(jr_tensor dy, jr_tensor weight, jr_tensor *dx) {
  return guard([&] { *dx = give(at::mm(in(dy), in(weight))); });
}

char *jr_linear_weights(jr_tensor dy_, jr_tensor x_, int first, jr_tensor dweight_, jr_tensor dbias_) {
  return guard([&] {
    const Tensor &dy = in(dy_), &x = in(x_);
    Tensor &dw = in(dweight_);
    if (dy.scalar_type() == at::kFloat) {
      first ? at::mm_out(dw, dy.t(), x) : dw.addmm_(dy.t(), x);
    } else {
      Tensor part = at::mm(dy.t(), x);
      first ? dw.copy_(part) : dw.add_(part);
    }
    if (dbias_ == nullptr) return;
    Tensor sum = dy.sum(0, false, at::kFloat);
    first ? in(dbias_).copy_(sum) : in(dbias_).add_(sum);
  });
}

char *jr_rms_norm(jr_tensor x_, jr_tensor weight_, double eps, jr_tensor *out_, jr_tensor *rstd_) {
  return guard([&] {
    const Tensor &x = in(x_), &weight = in(weight_);
    if (fast({&x, &weight})) {
      Tensor out = at::empty(x.sizes(), x.options()), rstd = at::empty(x.sizes().slice(0, x.dim() - 1), x.options()).unsqueeze(-1);
      norm_fast(x, weight, eps, out, rstd);
      *out_ = give(out), *rstd_ = give(rstd);
      return;
    }
    if (x.is_cuda()) { // one kernel, in float32 whatever x is
      auto [out, rstd] = at::_fused_rms_norm(x.contiguous(), weight.sizes(), weight, eps);
      *out_ = give(out), *rstd_ = give(rstd);
      return;
    }
    Tensor xf = x.to(at::kFloat);
    Tensor rstd = xf.square().mean(-1, true).add_(eps).rsqrt_();
    *out_ = give(weight * (xf * rstd).to(x.scalar_type()));
    *rstd_ = give(rstd);
  });
}

char *jr_rms_norm_backward(jr_tensor dy_, jr_tensor x_, jr_tensor weight_, jr_tensor rstd_, jr_tensor dx_, jr_tensor dweight_) {
  return guard([&] {
    const Tensor &dy = in(dy_), &x = in(x_), &weight = in(weight_);
    Tensor &dx = in(dx_), &dweight = in(dweight_);
    bool replace = dx.is_same(dy);
    if (fast({&dy, &x, &weight, &dx})) {
      norm_backward_fast(dy, x, weight, in(rstd_), dx, dweight);
      return;
    }
    if (x.is_cuda()) {
      auto [d, dw] = at::_fused_rms_norm_backward(dy.contiguous(), x.contiguous(), weight.sizes(), in(rstd_), weight, {true, true});
      dweight.add_(dw);
      replace ? dx.copy_(d) : dx.add_(d);
      return;
    }
    Tensor rstd = in(rstd_), g = dy.to(at::kFloat), normed = x.to(at::kFloat) * rstd;
    dweight.add_(rows_of(g * normed).sum(0));
    g = g * weight.to(at::kFloat);
    Tensor d = (g - normed * (g * normed).mean(-1, true)).mul_(rstd);
    replace ? dx.copy_(d) : dx.add_(d);
  });
}

char *jr_rotary(jr_tensor x_, jr_tensor cos_, jr_tensor sin_, int back) {
  return guard([&] {
    Tensor &x = in(x_);
    const Tensor &cos = in(cos_), &sin = in(sin_);
    int64_t H = x.size(1), half = x.size(2) / 2;
    if (fast({&x, &cos, &sin})) {
      float *p = x.mutable_data_ptr<float>();
      const float *c = cos.const_data_ptr<float>(), *s = sin.const_data_ptr<float>();
      int64_t row = x.stride(0), head = x.stride(1);
      at::parallel_for(0, x.size(0), grain(H * half * 2), [&](int64_t from, int64_t to) {
        for (int64_t t = from; t < to; t++) turn_row(p + t * row, c + t * half, s + t * half, H, half, head, back);
      });
      return;
    }
    Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1); // [T,1,D/2]
    Tensor x1 = x.narrow(-1, 0, half), x2 = x.narrow(-1, half, half), old = x1.clone();
    x1.mul_(c).addcmul_(x2, s, back ? 1 : -1);
    x2.mul_(c).addcmul_(old, s, back ? -1 : 1);
  });
}

char *jr_swiglu(jr_tensor gate_up, jr_tensor *out_) {
  return guard([&] {
    const Tensor &x = in(gate_up);
    int64_t T = x.size(0), F = x.size(1) / 2;
    if (!fast({&x})) {
      *out_ = give(at::silu(x.narrow(1, 0, F)).mul_(x.narrow(1, F, F)));
      return;
    }
    Tensor out = at::empty({T, F}, x.options());
    const float *p = x.const_data_ptr<float>();
    float *o = out.mutable_data_ptr<float>();
    at::parallel_for(0, T, grain(F), [&](int64_t from, int64_t to) {
      for (int64_t t = from; t < to; t++) swiglu_row(p + 2 * t * F, p + 2 * t * F + F, F, o + t * F);
    });
    *out_ = give(out);
  });
}

char *jr_swiglu_backward(jr_tensor gate_up, jr_tensor dout_, jr_tensor *out_) {
  return guard([&] {
    Tensor &x = in(gate_up);
    const Tensor &dout = in(dout_);
    int64_t T = x.size(0), F = x.size(1) / 2;
    if (!fast({&x, &dout})) {
      Tensor gate = x.narrow(1, 0, F), up = x.narrow(1, F, F), silu = at::silu(gate), dsilu = dout * up;
      *out_ = give(silu * up);
      at::mul_out(up, silu, dout);
      at::silu_backward_out(gate, dsilu, gate);
      return;
    }
    Tensor out = at::empty({T, F}, x.options());
    float *p = x.mutable_data_ptr<float>(), *o = out.mutable_data_ptr<float>();
    const float *d = dout.const_data_ptr<float>();
    at::parallel_for(0, T, grain(F), [&](int64_t from, int64_t to) {
      for (int64_t t = from; t < to; t++) swiglu_row_backward(p + 2 * t * F, p + 2 * t * F + F, d + t * F, F, o + t * F);
    });
    *out_ = give(out);
  });
}

} // extern "C"
