// What the C++ of this package shares.
#ifndef JUSTRL_GUARD_H
#define JUSTRL_GUARD_H

#include "justrl.h"

#include "simd.h"

#include <ATen/ATen.h>

#include <cstring>
#include <initializer_list>
#include <utility>

namespace jr {

inline at::Tensor &in(jr_tensor t) {
  TORCH_CHECK(t != nullptr, "missing tensor");
  return *static_cast<at::Tensor *>(t);
}

inline jr_tensor give(at::Tensor t) { return new at::Tensor(std::move(t)); }

// Whether the kernels over simd.h may take these: float32 on a CPU that has what
// they are compiled for, the last axis dense.
inline bool fast(std::initializer_list<const at::Tensor *> ts) {
  for (const at::Tensor *t : ts) {
    if (!t->is_cpu() || t->scalar_type() != at::kFloat || t->stride(-1) != 1) return false;
  }
  return simd::supported();
}

// Nothing may unwind into Go: every entry point that can fail runs its body in here.
template <class F> char *guard(F body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &e) {
    return strdup(e.what_without_backtrace());
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

} // namespace jr

#endif
