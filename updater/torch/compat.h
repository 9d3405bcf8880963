// compat.h lets gotch v0.9.1, written for libtorch 2.1, compile against 2.11 to 2.13.
//
// scripts/with-torch force-includes it into every C++ file (-include), which is
// how it reaches gotch's sources without a fork. Three operators have changed
// their signature since and two are gone; justrl calls none of them, so the old
// forms only have to compile, and they throw if they are ever reached.
//
// gotch's build takes minutes and Go caches it by its flags, of which the hash
// of this file is a part: a change here compiles gotch again.
#ifndef JUSTRL_COMPAT_H
#define JUSTRL_COMPAT_H
#ifdef __cplusplus

#include <torch/torch.h>
#include <torch/version.h>

#include <optional>
#include <tuple>
#include <vector>

namespace justrl_compat {

[[noreturn]] inline void gone(const char *op) {
  TORCH_CHECK(false, op, ": this form of the operator is not in this libtorch");
}

}  // namespace justrl_compat

namespace at {

// 2.1: (compressed_A, dense_B, bias, transpose_result). The fourth argument is
// now alpha, an optional tensor, so a bool selects this overload.
inline Tensor _cslt_sparse_mm(const Tensor &, const Tensor &, const Tensor &,
                              bool) {
  justrl_compat::gone("_cslt_sparse_mm");
}

// 2.1: bias and out_dtype came before the scales, and a second result held the
// largest absolute value of the output.
inline std::tuple<Tensor, Tensor> _scaled_mm(const Tensor &, const Tensor &,
                                             const Tensor &,
                                             std::optional<ScalarType>,
                                             const Tensor &, const Tensor &,
                                             const Tensor &) {
  justrl_compat::gone("_scaled_mm");
}

inline std::tuple<Tensor, Tensor> _scaled_mm_out(
    Tensor &, Tensor &, const Tensor &, const Tensor &, const Tensor &,
    std::optional<ScalarType>, const Tensor &, const Tensor &,
    const Tensor &) {
  justrl_compat::gone("_scaled_mm_out");
}

#if TORCH_VERSION_MINOR >= 13
template <typename T>
std::vector<Tensor> align_tensors(const std::vector<T> &) {
  justrl_compat::gone("align_tensors");
}
#endif

}  // namespace at

// Tensor::align_as was a member, which no overload of ours can give back: the
// macro keeps the call an expression of the same type.
#if TORCH_VERSION_MINOR >= 13
#define align_as(other) \
  expand_as((::justrl_compat::gone("align_as"), (other)))
#endif

#endif  // __cplusplus
#endif  // JUSTRL_COMPAT_H
