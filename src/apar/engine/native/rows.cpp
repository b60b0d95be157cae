// What a layer does between its products, each in one pass over a token's row: norms and gates.
//
// Rounded where Transformers rounds: a row in bfloat16 is computed in float and rounded after each named step.
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <torch/types.h>

#include <cmath>

#include "vectors.h"

namespace apar {
namespace {

using at::Tensor;

inline Floats rounded(Floats value, const float*) { return value; }

inline Floats rounded(Floats value, const BFloat16*) {
  // To nearest, ties to even.
  Words bits = (Words)value;
  bits += 0x7FFF + ((bits >> 16) & 1);
  return (Floats)(bits & 0xFFFF0000u);
}

inline void put(float* to, Floats value) { store(to, value); }

inline void put(BFloat16* to, Floats value) {
  const Halves halves = __builtin_convertvector((Words)rounded(value, to) >> 16, Halves);
  std::memcpy(to, &halves, sizeof(halves));
}

// weight * round(x / rms(x)), or with `plus_one` round((1 + weight) * x / rms(x)). The size is a multiple of 16.
template <class T>
void norm_row(const T* x, const T* weight, int64_t size, float epsilon, bool plus_one, T* out) {
  Floats squares = {};
  for (int64_t d = 0; d < size; d += kLanes) {
    const Floats value = load(x + d);
    squares += value * value;
  }
  const float factor = 1.0f / std::sqrt(sum(squares) / (float)size + epsilon);
  for (int64_t d = 0; d < size; d += kLanes) {
    const Floats value = load(x + d) * factor, scale = load(weight + d);
    put(out + d, plus_one ? value * (1.0f + scale) : rounded(value, x) * scale);
  }
}

// activation(gate) * up, where the activation is SiLU, x * sigmoid(x), or with `gelu` the approximation of GELU by tanh,
// x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 * x^3)).
template <class T>
void gate_row(const T* gate, const T* up, int64_t size, bool gelu, T* out) {
  for (int64_t d = 0; d < size; d += kLanes) {
    const Floats value = load(gate + d);
    const Floats inner = gelu ? value * (1.5957691216f + 0.0713548163f * value * value) : value;
    const Floats e = exponential(inner < 0.0f ? inner : -inner);
    const Floats opened = value * ((inner < 0.0f ? e : splat(1.0f)) / (1.0f + e));
    put(out + d, rounded(opened, gate) * load(up + d));
  }
}

template <class Work>
void each_row(int64_t rows, int64_t size, Work work) {
  at::parallel_for(0, rows, std::max<int64_t>(1, (32 << 10) / size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) work(row);
  });
}

template <class T>
void norm_as(const Tensor& x, const Tensor& weight, float epsilon, bool plus_one, Tensor& out) {
  const int64_t size = weight.numel();
  const T *from = x.const_data_ptr<T>(), *scale = weight.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  each_row(x.numel() / size, size, [&](int64_t row) {
    norm_row(from + row * size, scale, size, epsilon, plus_one, to + row * size);
  });
}

template <class T>
void gate_as(const Tensor& both, bool gelu, Tensor& out) {
  const int64_t size = out.size(-1);
  const T* from = both.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  each_row(out.numel() / size, size, [&](int64_t row) {
    gate_row(from + 2 * row * size, from + (2 * row + 1) * size, size, gelu, to + row * size);
  });
}

// x [..., D], weight [D] of one type, D a multiple of 16.
Tensor norm(const Tensor& x, const Tensor& weight, double epsilon, bool plus_one) {
  const Tensor dense = x.contiguous();
  Tensor out = at::empty_like(dense);
  if (x.scalar_type() == at::kFloat)
    norm_as<float>(dense, weight, (float)epsilon, plus_one, out);
  else
    norm_as<BFloat16>(dense, weight, (float)epsilon, plus_one, out);
  return out;
}

// both [..., 2 * I]: the gate, then what it lets through; I a multiple of 16. Returns [..., I].
Tensor gate(const Tensor& both, bool gelu) {
  auto sizes = both.sizes().vec();
  sizes.back() /= 2;
  const Tensor dense = both.contiguous();
  Tensor out = at::empty(sizes, both.options());
  if (both.scalar_type() == at::kFloat)
    gate_as<float>(dense, gelu, out);
  else
    gate_as<BFloat16>(dense, gelu, out);
  return out;
}

}  // namespace
}  // namespace apar

TORCH_LIBRARY_FRAGMENT(apar, library) {
  library.def("norm(Tensor x, Tensor weight, float epsilon, bool plus_one) -> Tensor");
  library.def("gate(Tensor both, bool gelu) -> Tensor");
}

TORCH_LIBRARY_IMPL(apar, CPU, library) {
  library.impl("norm", apar::norm);
  library.impl("gate", apar::gate);
}
