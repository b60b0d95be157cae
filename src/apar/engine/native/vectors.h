// Vectors of 16 floats, in the compiler's own terms: one source for every machine.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

namespace apar {

using BFloat16 = c10::BFloat16;

// Lanes of a vector. The compiler splits it where the machine's vectors are shorter.
constexpr int64_t kLanes = 16;
typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef int8_t Bytes __attribute__((vector_size(16)));

inline Floats splat(float value) { return Floats{} + value; }

inline Floats load(const float* from) {
  Floats result;
  std::memcpy(&result, from, sizeof(result));
  return result;
}

inline Floats load(const BFloat16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof(halves));
  Words words = __builtin_convertvector(halves, Words) << 16;
  return (Floats)words;
}

inline void store(float* to, Floats value) { std::memcpy(to, &value, sizeof(value)); }

// All lanes folded in half, and in half again, by `fold`: every lane of the result is the same.
template <class Fold>
inline float folded(Floats value, Fold fold) {
  value = fold(value, __builtin_shufflevector(value, value, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  value = fold(value, __builtin_shufflevector(value, value, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  value = fold(value, __builtin_shufflevector(value, value, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  value = fold(value, __builtin_shufflevector(value, value, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  return value[0];
}

inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

inline float sum(Floats value) {
  return folded(value, [](Floats a, Floats b) { return a + b; });
}

inline float largest(Floats value) { return folded(value, larger); }

// e^x for x <= 0: 2^(whole + part), the part by a polynomial. Below about -87 it is 0.
inline Floats exponential(Floats x) {
  const Floats scaled = x * 1.44269504089f;
  const Floats bounded = scaled < -126.0f ? splat(-126.0f) : scaled;
  const Floats shifted = bounded + 12582912.0f;  // 1.5 * 2^23: the sum's last bits are the rounded whole
  const Floats part = bounded - (shifted - 12582912.0f);
  // The series of 2^part: its next term is below a rounding error.
  Floats value = splat(0.00015403530f);
  value = value * part + 0.00133335581f;
  value = value * part + 0.00961812911f;
  value = value * part + 0.05550410866f;
  value = value * part + 0.24022650696f;
  value = value * part + 0.69314718056f;
  value = value * part + 1.0f;
  const Ints power = ((Ints)shifted - 0x4B400000 + 127) << 23;
  const Floats result = value * (Floats)power;
  return scaled < -126.0f ? Floats{} : result;
}

// The sums of 16 vectors, in their order. Each is folded as by `sum`.
inline Floats sums(const Floats* values) {
  Floats eight[8], four[4], two[2];
  for (int k = 0; k < 8; k++) {
    const Floats a = values[2 * k], b = values[2 * k + 1];
    eight[k] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
  for (int k = 0; k < 4; k++) {
    const Floats a = eight[2 * k], b = eight[2 * k + 1];
    four[k] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
              __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }
  for (int k = 0; k < 2; k++) {
    const Floats a = four[2 * k], b = four[2 * k + 1];
    two[k] = __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
             __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  }
  return __builtin_shufflevector(two[0], two[1], 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
         __builtin_shufflevector(two[0], two[1], 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

}  // namespace apar
