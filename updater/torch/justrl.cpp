//go:build torch

#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

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

// The sum of the squares in float64: torch's own float32 sum is off by 1e-3 at
// 3e7 elements, and its float64 one copies a CPU's tensor whole. By blocks in
// their order, so that the number of threads changes nothing.
double squares(const Tensor &t) {
  if (!t.is_cpu() || t.scalar_type() != at::kFloat || !t.is_contiguous()) return std::pow(at::linalg_vector_norm(t, 2, {}, false, at::kDouble).item<double>(), 2);
  constexpr int64_t kBlock = 1 << 16;
  int64_t n = t.numel(), blocks = (n + kBlock - 1) / kBlock;
  const float *p = t.const_data_ptr<float>();
  std::vector<double> sums(blocks);
  at::parallel_for(0, blocks, 1, [&](int64_t from, int64_t to) {
    for (int64_t b = from; b < to; b++) {
      double lanes[8] = {};
      int64_t i = b * kBlock, end = std::min(n, i + kBlock);
      for (; i + 8 <= end; i += 8)
        for (int k = 0; k < 8; k++) lanes[k] += double(p[i + k]) * double(p[i + k]);
      for (; i < end; i++) lanes[0] += double(p[i]) * double(p[i]);
      for (double lane : lanes) sums[b] += lane;
    }
  });
  double sum = 0;
  for (double s : sums) sum += s;
  return sum;
}

} // namespace

extern "C" {

char *jr_set_threads(int n) {
  return guard([&] { at::set_num_threads(n); });
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

char *jr_grad_norm(jr_tensor *grads, int n, double *norm) {
  return guard([&] {
    double sum = 0;
    for (const Tensor &g : list(grads, n)) sum += squares(g);
    *norm = std::sqrt(sum);
  });
}

char *jr_scale(jr_tensor *ts, int n, double factor) {
  return guard([&] {
    at::_foreach_mul_(list(ts, n), factor);
  });
}

char *jr_adamw(jr_tensor *params, jr_tensor *grads, jr_tensor *m, jr_tensor *v, int n, int64_t step,
               double lr, double beta1, double beta2, double eps, double decay) {
  return guard([&] {
    auto p = list(params, n);
    std::vector<Tensor> steps(n, at::full({}, static_cast<double>(step), p[0].options().dtype(at::kFloat).requires_grad(false)));
    at::_fused_adamw_(p, list(grads, n), list(m, n), list(v, n), {}, steps, lr, beta1, beta2, decay, eps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

} // extern "C"
