//go:build torch

#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <dlfcn.h>

using at::Tensor;
using jr::give;
using jr::guard;
using jr::in;

namespace {

std::vector<Tensor> list(jr_tensor *ts, int n) {
  std::vector<Tensor> out;
  out.reserve(n);
  for (int i = 0; i < n; i++) out.push_back(in(ts[i]));
  return out;
}

at::Device device_of(int d) { return d < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(d)); }

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
                          double temperature, int64_t rows, jr_tensor dweight_, jr_tensor *dhidden_) {
  return guard([&] {
    at::NoGradGuard no_grad;
    const Tensor &hidden = in(hidden_), &weight = in(weight_), &targets = in(targets_), &lse = in(lse_), &dlogp = in(dlogp_);
    Tensor &dweight = in(dweight_);
    int64_t N = hidden.size(0);
    Tensor dhidden = at::empty_like(hidden);
    for (int64_t i = 0; i < N; i += rows) {
      int64_t j = std::min(N, i + rows);
      Tensor g = dlogp.slice(0, i, j).unsqueeze(1) / temperature; // [rows,1]
      // d logp / d logits = onehot − p
      Tensor dz = logits(hidden, weight, i, j, temperature);
      dz.sub_(lse.slice(0, i, j).unsqueeze(1)).exp_().mul_(-g);
      dz.scatter_add_(1, targets.slice(0, i, j).unsqueeze(1), g);
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
