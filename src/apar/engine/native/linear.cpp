// y[M, N] = x[M, K] w[N, K]^T + b[N] for few rows, bound by reading w once.
//
// The sum for row m and column n is taken in one order, whatever the number of rows: a token's result does not
// depend on what else is in the pass, not even in the last bit.
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <torch/types.h>

#include <algorithm>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "vectors.h"

namespace apar {
namespace {

using at::Tensor;

// How a weight is laid out: panels of 16 columns, and in a panel `kDepth` entries of K side by side per column.
template <class T>
struct Layout;
template <>
struct Layout<float> {
  static constexpr int64_t kDepth = 1;
};
template <>
struct Layout<BFloat16> {
  static constexpr int64_t kDepth = 2;
};

template <class T>
Tensor pack_as(const Tensor& weight) {
  constexpr int64_t depth = Layout<T>::kDepth;
  const int64_t columns = weight.size(0), inner = weight.size(1);
  const int64_t panels = (columns + kLanes - 1) / kLanes, groups = (inner + depth - 1) / depth;
  Tensor packed = at::zeros({panels, groups, kLanes * depth}, weight.options());
  const T* from = weight.const_data_ptr<T>();
  T* to = packed.mutable_data_ptr<T>();
  at::parallel_for(0, columns, 64, [&](int64_t begin, int64_t end) {
    for (int64_t column = begin; column < end; column++) {
      T* panel = to + column / kLanes * groups * kLanes * depth + column % kLanes * depth;
      for (int64_t k = 0; k < inner; k++)
        panel[k / depth * kLanes * depth + k % depth] = from[column * inner + k];
    }
  });
  return packed;
}

inline Floats step(Floats sum, const float* weight, const float* x) { return sum + load(weight) * x[0]; }

inline Floats step(Floats sum, const BFloat16* weight, const BFloat16* x) {
  int32_t pair;
  std::memcpy(&pair, x, sizeof(pair));
#if defined(__AVX512BF16__)
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_loadu_si512(weight),
                                  (__m512bh)_mm512_set1_epi32(pair));
#else
  Words words;
  std::memcpy(&words, weight, sizeof(words));
  const uint32_t low = (uint32_t)pair << 16, high = (uint32_t)pair & 0xFFFF0000u;
  float first, second;
  std::memcpy(&first, &low, sizeof(first));
  std::memcpy(&second, &high, sizeof(second));
  sum += (Floats)(words << 16) * first;
  return sum + (Floats)(words & 0xFFFF0000u) * second;
#endif
}

// `Rows` rows times `Panels` panels, all sums in registers.
template <class T, int Rows, int Panels>
void tile(const T* weight, int64_t panel_size, int64_t groups, const T* x, int64_t x_stride, float* out,
          int64_t out_stride) {
  constexpr int64_t depth = Layout<T>::kDepth;
  Floats sums[Rows][Panels] = {};
  for (int64_t group = 0; group < groups; group++)
    for (int row = 0; row < Rows; row++)
      for (int panel = 0; panel < Panels; panel++)
        sums[row][panel] = step(sums[row][panel], weight + panel * panel_size + group * kLanes * depth,
                                x + row * x_stride + group * depth);
  for (int row = 0; row < Rows; row++)
    for (int panel = 0; panel < Panels; panel++) store(out + row * out_stride + panel * kLanes, sums[row][panel]);
}

// The columns of one block of panels, for up to `Rows` rows.
template <class T>
struct Product {
  const T* weight;
  int64_t panel_size, groups, columns;
  const T* x;
  int64_t x_stride;
  const T* bias;
  T* out;

  template <int Rows, int Panels>
  void block(int64_t row, int64_t panel) const {
    float sums[Rows * Panels * kLanes];
    tile<T, Rows, Panels>(weight + panel * panel_size, panel_size, groups, x + row * x_stride, x_stride, sums,
                          Panels * kLanes);
    const int64_t first = panel * kLanes, width = std::min<int64_t>(Panels * kLanes, columns - first);
    for (int r = 0; r < Rows; r++)
      for (int64_t c = 0; c < width; c++)
        out[(row + r) * columns + first + c] =
            (T)(sums[r * Panels * kLanes + c] + (bias ? (float)bias[first + c] : 0.0f));
  }

  template <int Rows, int Panels>
  void columns_of(int64_t row, int64_t begin, int64_t end) const {
    int64_t panel = begin;
    for (; panel + Panels <= end; panel += Panels) block<Rows, Panels>(row, panel);
    for (; panel < end; panel++) block<Rows, 1>(row, panel);
  }

  // Sums in registers: at most 24 of the 32 that the widest machines have.
  void all_rows(int64_t rows, int64_t begin, int64_t end) const {
    int64_t row = 0;
    for (; row + 12 <= rows; row += 12) columns_of<12, 2>(row, begin, end);
    switch (rows - row) {
      case 11: columns_of<6, 4>(row, begin, end); columns_of<5, 4>(row + 6, begin, end); break;
      case 10: columns_of<5, 4>(row, begin, end); columns_of<5, 4>(row + 5, begin, end); break;
      case 9: columns_of<5, 4>(row, begin, end); columns_of<4, 6>(row + 5, begin, end); break;
      case 8: columns_of<8, 3>(row, begin, end); break;
      case 7: columns_of<7, 3>(row, begin, end); break;
      case 6: columns_of<6, 4>(row, begin, end); break;
      case 5: columns_of<5, 4>(row, begin, end); break;
      case 4: columns_of<4, 6>(row, begin, end); break;
      case 3: columns_of<3, 8>(row, begin, end); break;
      case 2: columns_of<2, 8>(row, begin, end); break;
      case 1: columns_of<1, 8>(row, begin, end); break;
      default: break;
    }
  }
};

template <class T>
void multiply(const Tensor& x, const Tensor& packed, const std::optional<Tensor>& bias, Tensor& out) {
  constexpr int64_t depth = Layout<T>::kDepth;
  const int64_t groups = packed.size(1), panels = packed.size(0), inner = x.size(1), rows = x.size(0);
  const Tensor padded = inner == groups * depth ? x.contiguous() : at::constant_pad_nd(x, {0, groups * depth - inner});
  const Product<T> product{packed.const_data_ptr<T>(), groups * kLanes * depth, groups, out.size(1),
                           padded.const_data_ptr<T>(), groups * depth,
                           bias ? bias->const_data_ptr<T>() : nullptr, out.mutable_data_ptr<T>()};
  // As many panels at a time as stay in the second-level cache while all rows pass over them.
  const int64_t bytes = groups * kLanes * depth * (int64_t)sizeof(T);
  const int64_t together = std::max<int64_t>(24, (384 << 10) / bytes / 24 * 24);
  const int64_t grain = std::max<int64_t>(1, (16 << 10) / (groups * kLanes * depth));
  at::parallel_for(0, panels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; panel += together)
      product.all_rows(rows, panel, std::min(end, panel + together));
  });
}

Tensor pack(const Tensor& weight) {
  const Tensor dense = weight.contiguous();
  return dense.scalar_type() == at::kFloat ? pack_as<float>(dense) : pack_as<BFloat16>(dense);
}

Tensor linear(const Tensor& x, const Tensor& packed, const std::optional<Tensor>& bias, int64_t columns) {
  auto sizes = x.sizes().vec();
  const Tensor rows = x.reshape({-1, sizes.back()});
  Tensor out = at::empty({rows.size(0), columns}, x.options());
  if (x.scalar_type() == at::kFloat)
    multiply<float>(rows, packed, bias, out);
  else
    multiply<BFloat16>(rows, packed, bias, out);
  sizes.back() = columns;
  return out.view(sizes);
}

}  // namespace
}  // namespace apar

TORCH_LIBRARY_FRAGMENT(apar, library) {
  library.def("pack(Tensor weight) -> Tensor");
  library.def("linear(Tensor x, Tensor packed, Tensor? bias, int columns) -> Tensor");
}

TORCH_LIBRARY_IMPL(apar, CPU, library) {
  library.impl("pack", apar::pack);
  library.impl("linear", apar::linear);
}
