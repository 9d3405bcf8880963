// Eight floats at a time, and the exponential of them.
//
// What is in here is compiled for AVX2 whatever the flags are; supported()
// says whether it may run. A file that uses it compiles its kernels with the
// same target.
#ifndef JUSTRL_SIMD_H
#define JUSTRL_SIMD_H

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace jr::simd {

// Eight floats. The second type may lie at any address.
typedef float f8 __attribute__((vector_size(32)));
typedef float f8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t i8 __attribute__((vector_size(32)));

inline f8 load(const float *p) { return *reinterpret_cast<const f8u *>(p); }
inline void store(float *p, f8 v) { *reinterpret_cast<f8u *>(p) = v; }
inline f8 all(float x) { return f8{x, x, x, x, x, x, x, x}; }

// a·b + c, in one rounding where the CPU has it. Spelled out, so that no
// compiler decides it differently from one place to another.
inline f8 fma8(f8 a, f8 b, f8 c) {
#if defined(__x86_64__)
  return reinterpret_cast<f8>(_mm256_fmadd_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#else
  f8 out;
  for (int i = 0; i < 8; i++) out[i] = std::fma(a[i], b[i], c[i]);
  return out;
#endif
}

inline float sum8(f8 v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }
inline f8 max8(f8 a, f8 b) { return a > b ? a : b; }

// exp to within 1.5 ulp; 0 below -87.3, where float32 ends. Arguments are ≤ 88.
inline f8 exp8(f8 x) {
  const f8 low = all(-87.3f), magic = all(12582912.f); // 1.5·2^23: adding it rounds to an integer
  i8 under = x < low;
  f8 v = under ? low : x;
  f8 shifted = fma8(v, all(1.44269504088896341f), magic);
  f8 n = shifted - magic;
  f8 r = fma8(n, all(-0.693359375f), v); // ln 2 in two parts
  r = fma8(n, all(2.12194440e-4f), r);
  f8 p = all(1.9875691500e-4f); // Cephes' polynomial of (e^r - 1 - r)/r²
  p = fma8(p, r, all(1.3981999507e-3f));
  p = fma8(p, r, all(8.3334519073e-3f));
  p = fma8(p, r, all(4.1665795894e-2f));
  p = fma8(p, r, all(1.6666665459e-1f));
  p = fma8(p, r, all(5.0000001201e-1f));
  p = fma8(p * r, r, r) + all(1.f);
  i8 bits = (reinterpret_cast<i8>(shifted) << 23) + reinterpret_cast<i8>(p); // n is in the low bits of shifted
  f8 e = reinterpret_cast<f8>(bits);
  return under ? f8{} : e;
}

// The first n < 8 floats at p; the rest is 0.
inline f8 load_part(const float *p, int64_t n) {
  f8 v{};
  std::memcpy(&v, p, n * sizeof(float));
  return v;
}
inline void store_part(float *p, f8 v, int64_t n) { std::memcpy(p, &v, n * sizeof(float)); }

} // namespace jr::simd

#if defined(__x86_64__)
#pragma GCC pop_options
#endif

namespace jr::simd {

inline bool supported() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

} // namespace jr::simd

#endif
