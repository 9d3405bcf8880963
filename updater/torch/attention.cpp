//go:build torch

#include "layers.h"
#include "guard.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

using at::Tensor;
using jr::give;
using jr::guard;
using jr::in;

namespace {

// On a CPU libtorch's flash attention, one sequence at a time. On CUDA in half
// precision all sequences in one launch; else its memory-efficient attention,
// one sequence at a time; and by the formula, with a [t,t] matrix a head, where
// that has no kernel: for heads whose rows are not whole 16 bytes.
enum class Way { kCPU, kVarlen, kEfficient, kFormula };

Way way_of(const Tensor &q) {
  if (q.is_cpu()) return Way::kCPU;
  bool half = q.scalar_type() == at::kBFloat16;
  if (q.size(2) * q.element_size() % 16 != 0) return Way::kFormula;
  return half && q.size(2) <= 256 ? Way::kVarlen : Way::kEfficient;
}

// x [T,H,D] as the sequences' own [K,G,t,D]. One key head serves G query heads:
// with copies, the keys are seen G times through a stride of 0.
Tensor sequence(const Tensor &x, int64_t from, int64_t n, int64_t K, int64_t G) {
  Tensor part = x.narrow(0, from, n);
  if (part.size(1) == K && G > 1) return part.unsqueeze(2).expand({n, K, G, x.size(2)}).permute({1, 2, 0, 3});
  return part.view({n, K, G, x.size(2)}).permute({1, 2, 0, 3});
}

// Where the sequences begin, and end: int32 [n+1] on q's device.
Tensor bounds(const int64_t *lengths, int n, const Tensor &q) {
  std::vector<int32_t> at(n + 1, 0);
  for (int i = 0; i < n; i++) at[i + 1] = at[i] + static_cast<int32_t>(lengths[i]);
  return at::tensor(at, at::TensorOptions().dtype(at::kInt)).to(q.device());
}

// Attention of one sequence, [K,G,t,D] each: the output, and what the backward pass needs.
std::vector<Tensor> efficient(const Tensor &q, const Tensor &k, const Tensor &v) {
  auto [out, lse, seed, offset] = at::_scaled_dot_product_efficient_attention(q, k.contiguous(), v.contiguous(), {}, true, 0.0, true);
  return {out, lse, seed, offset};
}

// The probabilities of one sequence, float32 [K,G,t,t], and back through them.
Tensor probabilities(const Tensor &q, const Tensor &k) {
  int64_t n = q.size(2);
  Tensor future = at::ones({n, n}, q.options().dtype(at::kBool)).triu_(1);
  Tensor scores = at::matmul(q.to(at::kFloat), k.to(at::kFloat).transpose(-1, -2)).div_(std::sqrt(double(q.size(3))));
  return scores.masked_fill_(future, -INFINITY).softmax(-1);
}

std::tuple<Tensor, Tensor, Tensor> formula_backward(const Tensor &dout, const Tensor &q, const Tensor &k, const Tensor &v) {
  Tensor p = probabilities(q, k), g = dout.to(at::kFloat), dp = at::matmul(g, v.to(at::kFloat).transpose(-1, -2));
  Tensor ds = (dp - (dp * p).sum(-1, true)).mul_(p).div_(std::sqrt(double(q.size(3))));
  return {at::matmul(ds, k.to(at::kFloat)), at::matmul(ds.transpose(-1, -2), q.to(at::kFloat)), at::matmul(p.transpose(-1, -2), g)};
}

struct Shape {
  int64_t T, H, D, K, G, longest;
};

Shape shape_of(const Tensor &q, const Tensor &k, const int64_t *lengths, int n) {
  Shape s{q.size(0), q.size(1), q.size(2), k.size(1), q.size(1) / k.size(1), *std::max_element(lengths, lengths + n)};
  TORCH_CHECK(s.K * s.G == s.H, s.H, " query heads are not a multiple of ", s.K, " key heads");
  TORCH_CHECK(std::accumulate(lengths, lengths + n, int64_t(0)) == s.T, "lengths do not sum to ", s.T);
  return s;
}

} // namespace

extern "C" {

char *jr_attention(jr_tensor q_, jr_tensor k_, jr_tensor v_, const int64_t *lengths, int n, jr_tensor *out_, jr_tensor *lse_) {
  return guard([&] {
    const Tensor &q = in(q_), &k = in(k_), &v = in(v_);
    Shape s = shape_of(q, k, lengths, n);
    Way way = way_of(q);
    if (way == Way::kVarlen) {
      Tensor at = bounds(lengths, n, q);
      auto made = at::_flash_attention_forward(q, k, v, at, at, s.longest, s.longest, 0.0, /*is_causal=*/true, /*return_debug_mask=*/false);
      *out_ = give(std::get<0>(made).reshape({s.T, s.H * s.D}));
      *lse_ = give(std::get<1>(made));
      return;
    }
    Tensor out = at::empty({s.T, s.H, s.D}, q.options()), lse = at::empty({way == Way::kCPU ? s.T : 0, s.K, s.G}, q.options().dtype(at::kFloat));
    for (int64_t i = 0, from = 0; i < n; from += lengths[i++]) {
      auto part = [&](const Tensor &x) { return sequence(x, from, lengths[i], s.K, s.G); };
      if (way == Way::kCPU) {
        auto [o, l] = at::_scaled_dot_product_flash_attention_for_cpu(part(q), part(k), part(v), 0.0, /*is_causal=*/true);
        part(out).copy_(o);
        lse.narrow(0, from, lengths[i]).permute({1, 2, 0}).copy_(l);
      } else if (way == Way::kEfficient) {
        part(out).copy_(efficient(part(q), part(k), part(v))[0]);
      } else {
        part(out).copy_(at::matmul(probabilities(part(q), part(k)), part(v).to(at::kFloat)));
      }
    }
    *out_ = give(out.view({s.T, s.H * s.D}));
    *lse_ = give(lse);
  });
}

char *jr_attention_backward(jr_tensor dout_, jr_tensor q_, jr_tensor k_, jr_tensor v_, jr_tensor out_, jr_tensor lse_,
                            const int64_t *lengths, int n, jr_tensor dq_, jr_tensor dk_, jr_tensor dv_) {
  return guard([&] {
    const Tensor &q = in(q_), &k = in(k_), &v = in(v_), &lse = in(lse_);
    Tensor &dq = in(dq_), &dk = in(dk_), &dv = in(dv_);
    Shape s = shape_of(q, k, lengths, n);
    Way way = way_of(q);
    Tensor dout = in(dout_).view({s.T, s.H, s.D}), out = in(out_).view({s.T, s.H, s.D});
    if (way == Way::kVarlen) {
      Tensor at = bounds(lengths, n, q), random = at::zeros({2}, q.options().dtype(at::kUInt64)); // of a dropout that there is not
      auto [gq, gk, gv] = at::_flash_attention_backward(dout, q, k, v, out, lse, at, at, s.longest, s.longest, 0.0, /*is_causal=*/true, random, random);
      dq.copy_(gq), dk.copy_(gk), dv.copy_(gv);
      return;
    }
    for (int64_t i = 0, from = 0; i < n; from += lengths[i++]) {
      auto part = [&](const Tensor &x) { return sequence(x, from, lengths[i], s.K, s.G); };
      Tensor gq, gk, gv;
      if (way == Way::kCPU) {
        Tensor l = lse.narrow(0, from, lengths[i]).permute({1, 2, 0}).contiguous();
        std::tie(gq, gk, gv) = at::_scaled_dot_product_flash_attention_for_cpu_backward(part(dout), part(q), part(k), part(v), part(out), l, 0.0, /*is_causal=*/true);
      } else if (way == Way::kFormula) {
        std::tie(gq, gk, gv) = formula_backward(part(dout), part(q), part(k), part(v));
      } else { // the forward once more: what it needs of that has another shape for each sequence
        Tensor keys = part(k).contiguous(), values = part(v).contiguous();
        auto kept = efficient(part(q), keys, values);
        Tensor none;
        std::tie(gq, gk, gv, none) = at::_scaled_dot_product_efficient_attention_backward(
            part(dout), part(q), keys, values, {}, kept[0], kept[1], kept[2], kept[3], 0.0, {true, true, true, false}, /*is_causal=*/true);
      }
      part(dq).copy_(gq);
      auto write = [&](Tensor &to, const Tensor &g) { to.narrow(0, from, lengths[i]).permute({1, 0, 2}).copy_(s.G == 1 ? g.squeeze(1) : g.sum(1)); };
      write(dk, gk), write(dv, gv);
    }
  });
}

} // extern "C"
