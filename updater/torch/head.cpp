//go:build torch

#include "layers.h"
#include "guard.h"
#include "simd.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

using at::Tensor;
using jr::fast;
using jr::give;
using jr::guard;
using jr::in;

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace {

using namespace jr::simd;

// Terms that are summed in float32; the sums of these in float64.
constexpr int64_t kStretch = 512;

struct Score {
  float logp, entropy, lse;
};

// With x = z·scale, m = max x, e = exp(x − m): lse = m + log Σe, and
// −Σ p·log p = log Σe − Σ e·(x − m) / Σe.
Score score_row(const float *z, int64_t V, int64_t target, float scale) {
  f8 top = all(-INFINITY);
  int64_t whole = V / 8 * 8;
  for (int64_t i = 0; i < whole; i += 8) top = max8(load(z + i), top);
  float most = -INFINITY;
  for (int k = 0; k < 8; k++) most = top[k] > most ? top[k] : most;
  for (int64_t i = whole; i < V; i++) most = z[i] > most ? z[i] : most;

  double sum = 0, weighed = 0;
  f8 m = all(most), by = all(scale);
  for (int64_t from = 0; from < whole; from += kStretch) {
    f8 s{}, w{};
    int64_t to = from + kStretch < whole ? from + kStretch : whole; // std's would be compiled for AVX2 for all
    for (int64_t i = from; i < to; i += 8) {
      f8 x = (load(z + i) - m) * by, e = exp8(x);
      s += e;
      w += e > f8{} ? e * x : f8{}; // not 0·∞
    }
    sum += sum8(s), weighed += sum8(w);
  }
  for (int64_t i = whole; i < V; i++) {
    float x = (z[i] - most) * scale, e = exp8(all(x))[0];
    sum += e, weighed += e > 0 ? e * x : 0;
  }
  double lse = double(most) * scale + std::log(sum);
  return {float(double(z[target]) * scale - lse), float(std::log(sum) - weighed / sum), float(lse)};
}

// z becomes the gradient of itself: of logp, onehot − p, and of the entropy,
// −p·(log p + entropy), each times its own and the scale.
void score_row_backward(float *z, int64_t V, int64_t target, float scale, Score of, float dlogp, float dentropy) {
  f8 by = all(scale), lse = all(of.lse), g = all(dlogp * scale);
  int64_t i = 0;
  if (dentropy == 0) {
    for (; i + 8 <= V; i += 8) store(z + i, -g * exp8(fma8(load(z + i), by, -lse)));
    for (; i < V; i++) z[i] = -g[0] * exp8(fma8(all(z[i]), by, -lse))[0];
  } else {
    f8 h = all(of.entropy), d = all(dentropy * scale);
    auto gradient = [&](f8 x) {
      f8 l = fma8(x, by, -lse), p = exp8(l);
      return p > f8{} ? -p * (g + d * (l + h)) : f8{};
    };
    for (; i + 8 <= V; i += 8) store(z + i, gradient(load(z + i)));
    for (; i < V; i++) z[i] = gradient(all(z[i]))[0];
  }
  z[target] += g[0];
}

} // namespace

#if defined(__x86_64__)
#pragma GCC pop_options
#endif

namespace {

Tensor column(const Tensor &t) { return t.unsqueeze(1); } // [n,1]

} // namespace

extern "C" {

char *jr_logits(jr_tensor hidden_, jr_tensor weight_, jr_tensor targets_, double temperature,
                jr_tensor *logits_, jr_tensor *logp_, jr_tensor *entropy_, jr_tensor *lse_) {
  return guard([&] {
    const Tensor &hidden = in(hidden_), &targets = in(targets_);
    Tensor z = at::mm(hidden, in(weight_).t()).to(at::kFloat), logp, entropy, lse;
    int64_t n = z.size(0), V = z.size(1);
    if (fast({&z})) {
      logp = at::empty({n}, z.options()), entropy = at::empty({n}, z.options()), lse = at::empty({n}, z.options());
      const float *p = z.const_data_ptr<float>();
      const int64_t *t = targets.const_data_ptr<int64_t>();
      float *a = logp.mutable_data_ptr<float>(), *b = entropy.mutable_data_ptr<float>(), *c = lse.mutable_data_ptr<float>();
      at::parallel_for(0, n, 1, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; i++) {
          Score s = score_row(p + i * V, V, t[i], float(1 / temperature));
          a[i] = s.logp, b[i] = s.entropy, c[i] = s.lse;
        }
      });
    } else {
      Tensor l = temperature == 1.0 ? z : z / temperature;
      lse = at::logsumexp(l, {-1});
      l = l - column(lse);
      logp = l.gather(1, column(targets)).squeeze(1);
      entropy = l.exp().mul_(l).sum(-1).neg_();
    }
    *logits_ = give(z), *logp_ = give(logp), *entropy_ = give(entropy), *lse_ = give(lse);
  });
}

char *jr_logits_backward(jr_tensor logits_, jr_tensor hidden_, jr_tensor weight_, jr_tensor targets_, jr_tensor lse_, jr_tensor entropy_,
                         jr_tensor dlogp_, jr_tensor dentropy_, double temperature, jr_tensor dweight_, jr_tensor *dhidden_) {
  return guard([&] {
    const Tensor &hidden = in(hidden_), &weight = in(weight_), &targets = in(targets_), &lse = in(lse_), &dlogp = in(dlogp_);
    Tensor dz = in(logits_), &dweight = in(dweight_); // in place
    int64_t n = dz.size(0), V = dz.size(1);
    if (fast({&dz})) {
      float *p = dz.mutable_data_ptr<float>();
      const int64_t *t = targets.const_data_ptr<int64_t>();
      const float *g = dlogp.const_data_ptr<float>(), *l = lse.const_data_ptr<float>(), *h = in(entropy_).const_data_ptr<float>();
      const float *d = dentropy_ == nullptr ? nullptr : in(dentropy_).const_data_ptr<float>();
      at::parallel_for(0, n, 1, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; i++)
          score_row_backward(p + i * V, V, t[i], float(1 / temperature), {0, h[i], l[i]}, g[i], d == nullptr ? 0 : d[i]);
      });
    } else {
      Tensor g = column(dlogp) / temperature;
      if (temperature != 1.0) dz.div_(temperature);
      dz.sub_(column(lse)); // log p
      if (dentropy_ == nullptr) {
        dz.exp_().mul_(-g); // d logp / d logits = onehot − p
      } else {
        // d entropy / d logits = −p · (log p + entropy)
        Tensor p = dz.exp();
        dz.add_(column(in(entropy_))).mul_(column(in(dentropy_)) / temperature).add_(g).mul_(p).neg_();
      }
      dz.scatter_add_(1, column(targets), g);
    }
    if (weight.scalar_type() == at::kFloat) {
      dweight.addmm_(dz.t(), hidden);
    } else {
      dz = dz.to(weight.scalar_type());
      dweight.add_(at::mm(dz.t(), hidden));
    }
    *dhidden_ = give(at::mm(dz, weight));
  });
}

} // extern "C"
