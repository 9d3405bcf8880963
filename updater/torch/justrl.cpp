//go:build torch

#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <dlfcn.h>

using at::Tensor;
using jr::guard;
using jr::in;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

namespace {

jr_tensor give(Tensor t) { return new Tensor(std::move(t)); }

std::vector<Tensor> list(jr_tensor *ts, int n) {
  std::vector<Tensor> out;
  out.reserve(n);
  for (int i = 0; i < n; i++) out.push_back(in(ts[i]));
  return out;
}

at::Device device_of(int d) { return d < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(d)); }

// ---- layer pieces, as autograd functions that keep only what backward needs ----

struct RMSNorm : torch::autograd::Function<RMSNorm> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight, double eps) {
    Tensor xf = x.to(at::kFloat);
    Tensor rstd = xf.square().mean(-1, true).add_(eps).rsqrt_();
    ctx->save_for_backward({x, weight, rstd});
    return weight * (xf * rstd).to(x.scalar_type());
  }

  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &rstd = saved[2];
    Tensor g = grads[0].to(at::kFloat), normed = x.to(at::kFloat) * rstd;
    Tensor dx, dw;
    if (ctx->needs_input_grad(1)) {
      Tensor rows = g * normed;
      dw = rows.reshape({-1, rows.size(-1)}).sum(0).to(weight.scalar_type());
    }
    if (ctx->needs_input_grad(0)) {
      g = g * weight.to(at::kFloat);
      dx = (g - normed * (g * normed).mean(-1, true)).mul_(rstd).to(x.scalar_type());
    }
    return {dx, dw, Tensor()};
  }
};

// The rotation by the angle of (cos, sin); its transpose is the rotation by minus that angle.
Tensor rotate(const Tensor &x, const Tensor &cos, const Tensor &sin, bool back) {
  int64_t half = x.size(-1) / 2;
  Tensor c = cos.unsqueeze(1), s = sin.unsqueeze(1); // [T,1,D/2]
  Tensor out = at::empty_like(x, at::MemoryFormat::Contiguous);
  Tensor x1 = x.narrow(-1, 0, half), x2 = x.narrow(-1, half, half);
  Tensor o1 = out.narrow(-1, 0, half), o2 = out.narrow(-1, half, half);
  at::mul_out(o1, x1, c);
  at::mul_out(o2, x2, c);
  o1.addcmul_(x2, s, back ? 1 : -1);
  o2.addcmul_(x1, s, back ? -1 : 1);
  return out;
}

struct Rotary : torch::autograd::Function<Rotary> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &cos, const Tensor &sin) {
    ctx->save_for_backward({cos, sin});
    return rotate(x, cos, sin, false);
  }

  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    auto saved = ctx->get_saved_variables();
    return {rotate(grads[0], saved[0], saved[1], true), Tensor(), Tensor()};
  }
};

struct SwiGLU : torch::autograd::Function<SwiGLU> {
  static Tensor forward(AutogradContext *ctx, const Tensor &gate, const Tensor &up) {
    ctx->save_for_backward({gate, up});
    return at::silu(gate).mul_(up);
  }

  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    auto saved = ctx->get_saved_variables();
    const Tensor &gate = saved[0], &up = saved[1], &g = grads[0];
    return {at::silu_backward(g * up, gate), at::silu(gate).mul_(g)};
  }
};

// ---- log-probs over the vocabulary, a chunk of rows at a time ----

// Logits of rows [from, to) in float32, divided by the temperature.
Tensor logits(const Tensor &hidden, const Tensor &weight, int64_t from, int64_t to, double temperature) {
  Tensor z = at::mm(hidden.slice(0, from, to), weight.t()).to(at::kFloat);
  return temperature == 1.0 ? z : z.div_(temperature);
}

} // namespace

extern "C" {

char *jr_set_threads(int n) {
  return guard([&] { at::set_num_threads(n); });
}

char *jr_load_cuda(void) {
  return guard([&] {
    Dl_info info;
    TORCH_CHECK(dladdr(reinterpret_cast<void *>(&at::set_num_threads), &info) != 0, "cannot tell where libtorch_cpu.so was loaded from");
    std::string path(info.dli_fname);
    path = path.substr(0, path.find_last_of('/') + 1) + "libtorch_cuda.so";
    TORCH_CHECK(dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr, "cannot load the CUDA half of libtorch: ", dlerror());
  });
}

char *jr_cuda_count(int *n) {
  return guard([&] { *n = at::globalContext().hasCUDA() ? static_cast<int>(at::detail::getCUDAHooks().deviceCount()) : 0; });
}

char *jr_synchronize(int device) {
  return guard([&] {
    if (device >= 0) at::detail::getCUDAHooks().deviceSynchronize(static_cast<c10::DeviceIndex>(device));
  });
}

char *jr_from_bytes(const void *data, const int64_t *shape, int dims, int kind, int device, int as_kind, jr_tensor *out) {
  return guard([&] {
    // data may lie at any address (a mapped file): copy bytes before torch reads elements.
    Tensor host = at::empty(at::IntArrayRef(shape, dims), at::TensorOptions().dtype(at::ScalarType(kind)));
    if (host.nbytes() > 0) memcpy(host.mutable_data_ptr(), data, host.nbytes());
    *out = give(host.to(device_of(device), at::ScalarType(as_kind)));
  });
}

char *jr_to_bytes(jr_tensor t, int as_kind, void *dst, size_t bytes) {
  return guard([&] {
    Tensor host = in(t).detach().to(at::kCPU, at::ScalarType(as_kind)).contiguous();
    TORCH_CHECK(host.nbytes() == bytes, "buffer of ", bytes, " bytes for a tensor of ", host.nbytes());
    if (bytes > 0) memcpy(dst, host.const_data_ptr(), bytes);
  });
}

char *jr_grad(jr_tensor out, jr_tensor grad_out, jr_tensor *inputs, int n, jr_tensor *grads) {
  return guard([&] {
    auto got = torch::autograd::grad({in(out)}, list(inputs, n), {in(grad_out)});
    for (int i = 0; i < n; i++) grads[i] = give(std::move(got[i]));
  });
}

char *jr_attention(jr_tensor q_, jr_tensor k_, jr_tensor v_, const int64_t *lengths, int n, jr_tensor *out) {
  return guard([&] {
    const Tensor &q = in(q_), &k = in(k_), &v = in(v_);
    int64_t T = q.size(0), H = q.size(1), D = q.size(2), K = k.size(1), G = H / K;
    TORCH_CHECK(K * G == H, H, " query heads are not a multiple of ", K, " key heads");
    // One key head serves G query heads: batch over key heads, and let the G
    // queries see the same key through a stride of 0, not a copy.
    Tensor qs = q.view({T, K, G, D}).permute({1, 2, 0, 3});
    Tensor ks = k.permute({1, 0, 2}).unsqueeze(1);
    Tensor vs = v.permute({1, 0, 2}).unsqueeze(1);
    at::IntArrayRef sizes(lengths, n);
    auto qp = qs.split_with_sizes(sizes, 2), kp = ks.split_with_sizes(sizes, 2), vp = vs.split_with_sizes(sizes, 2);
    std::vector<Tensor> parts;
    parts.reserve(n);
    for (int i = 0; i < n; i++) {
      std::vector<int64_t> shape{K, G, lengths[i], D};
      Tensor o = at::scaled_dot_product_attention(qp[i], kp[i].expand(shape), vp[i].expand(shape), {}, 0.0, /*is_causal=*/true);
      parts.push_back(o.permute({2, 0, 1, 3}));
    }
    *out = give(at::cat(parts, 0).reshape({T, H * D}));
  });
}

char *jr_rms_norm(jr_tensor x, jr_tensor weight, double eps, jr_tensor *out) {
  return guard([&] { *out = give(RMSNorm::apply(in(x), in(weight), eps)); });
}

char *jr_rotary(jr_tensor x, jr_tensor cos, jr_tensor sin, jr_tensor *out) {
  return guard([&] { *out = give(Rotary::apply(in(x), in(cos), in(sin))); });
}

char *jr_swiglu(jr_tensor gate, jr_tensor up, jr_tensor *out) {
  return guard([&] { *out = give(SwiGLU::apply(in(gate), in(up))); });
}

char *jr_logprob(jr_tensor hidden_, jr_tensor weight_, jr_tensor targets_, double temperature, int64_t rows,
                 jr_tensor *logp, jr_tensor *entropy, jr_tensor *lse) {
  return guard([&] {
    at::NoGradGuard no_grad;
    const Tensor &hidden = in(hidden_), &weight = in(weight_), &targets = in(targets_);
    int64_t N = hidden.size(0);
    auto f32 = hidden.options().dtype(at::kFloat);
    Tensor lp = at::empty({N}, f32), ent = at::empty({N}, f32), norm = at::empty({N}, f32);
    for (int64_t i = 0; i < N; i += rows) {
      int64_t j = std::min(N, i + rows);
      Tensor z = logits(hidden, weight, i, j, temperature); // [rows,V]
      Tensor l = at::logsumexp(z, {-1});
      z.sub_(l.unsqueeze(1)); // now log-probs
      norm.slice(0, i, j).copy_(l);
      lp.slice(0, i, j).copy_(z.gather(1, targets.slice(0, i, j).unsqueeze(1)).squeeze(1));
      ent.slice(0, i, j).copy_(z.exp().mul_(z).sum(-1).neg_()); // −Σ p·log p
    }
    *logp = give(lp);
    *entropy = give(ent);
    *lse = give(norm);
  });
}

char *jr_logprob_backward(jr_tensor hidden_, jr_tensor weight_, jr_tensor targets_, jr_tensor lse_, jr_tensor dlogp_,
                          jr_tensor entropy_, jr_tensor dentropy_, double temperature, int64_t rows, jr_tensor dweight_, jr_tensor *dhidden_) {
  return guard([&] {
    at::NoGradGuard no_grad;
    const Tensor &hidden = in(hidden_), &weight = in(weight_), &targets = in(targets_), &lse = in(lse_), &dlogp = in(dlogp_);
    Tensor &dweight = in(dweight_);
    int64_t N = hidden.size(0);
    Tensor dhidden = at::empty_like(hidden);
    for (int64_t i = 0; i < N; i += rows) {
      int64_t j = std::min(N, i + rows);
      auto column = [&](const Tensor &t) { return t.slice(0, i, j).unsqueeze(1); }; // [rows,1]
      Tensor g = column(dlogp) / temperature;
      Tensor dz = logits(hidden, weight, i, j, temperature);
      dz.sub_(column(lse)); // log p
      if (dentropy_ == nullptr) {
        dz.exp_().mul_(-g); // d logp / d logits = onehot − p
      } else {
        // d entropy / d logits = −p · (log p + entropy)
        Tensor p = dz.exp();
        dz.add_(column(in(entropy_))).mul_(column(in(dentropy_)) / temperature).add_(g).mul_(p).neg_();
      }
      dz.scatter_add_(1, column(targets), g);
      dz = dz.to(weight.scalar_type());
      Tensor rows_out = dhidden.slice(0, i, j);
      at::mm_out(rows_out, dz, weight);
      if (weight.scalar_type() == at::kFloat) {
        dweight.addmm_(dz.t(), hidden.slice(0, i, j));
      } else {
        dweight.add_(at::mm(dz.t(), hidden.slice(0, i, j)));
      }
    }
    *dhidden_ = give(dhidden);
  });
}

char *jr_grad_norm(jr_tensor *grads, int n, double *norm) {
  return guard([&] {
    at::NoGradGuard no_grad;
    // Summed in float64: torch's own float32 sum is off by 1e-3 at 3e7 elements.
    std::vector<Tensor> each;
    for (const Tensor &g : list(grads, n)) each.push_back(at::linalg_vector_norm(g, 2, {}, false, at::kDouble));
    *norm = at::linalg_vector_norm(at::stack(each)).item<double>();
  });
}

char *jr_scale(jr_tensor *ts, int n, double factor) {
  return guard([&] {
    at::NoGradGuard no_grad;
    at::_foreach_mul_(list(ts, n), factor);
  });
}

char *jr_adamw(jr_tensor *params, jr_tensor *grads, jr_tensor *m, jr_tensor *v, int n, int64_t step,
               double lr, double beta1, double beta2, double eps, double decay) {
  return guard([&] {
    at::NoGradGuard no_grad;
    auto p = list(params, n);
    std::vector<Tensor> steps(n, at::full({}, static_cast<double>(step), p[0].options().dtype(at::kFloat).requires_grad(false)));
    at::_fused_adamw_(p, list(grads, n), list(m, n), list(v, n), {}, steps, lr, beta1, beta2, decay, eps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

} // extern "C"
