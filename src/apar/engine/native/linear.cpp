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

// How a weight of type W is laid out: panels of 16 columns, and in a panel `kDepth` entries of K side by side per
// column. It is multiplied with rows of type `Row`: a weight of 8 bits is exact in bfloat16.
template <class W>
struct Layout {
  static constexpr int64_t kDepth = 2;
  using Row = BFloat16;
};
template <>
struct Layout<float> {
  static constexpr int64_t kDepth = 1;
  using Row = float;
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

// 16 columns of a weight as they are multiplied: numbers, or in bfloat16 pairs of them.
inline Floats columns_at(const float* weight) { return load(weight); }

inline Words columns_at(const BFloat16* weight) {
  Words pairs;
  std::memcpy(&pairs, weight, sizeof(pairs));
  return pairs;
}

inline Words columns_at(const int8_t* weight) {
#if defined(__AVX512BF16__)
  const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)weight)));
  const __m512 high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)(weight + kLanes))));
  return (Words)_mm512_cvtne2ps_pbh(high, low);
#else
  Floats first, second;
  for (int64_t lane = 0; lane < kLanes; lane++) {
    first[lane] = weight[2 * lane];
    second[lane] = weight[2 * lane + 1];
  }
  return ((Words)first >> 16) | ((Words)second & 0xFFFF0000u);
#endif
}

inline Floats step(Floats sum, Floats columns, const float* x) { return sum + columns * x[0]; }

inline Floats step(Floats sum, Words columns, const BFloat16* x) {
  int32_t pair;
  std::memcpy(&pair, x, sizeof(pair));
#if defined(__AVX512BF16__)
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)columns, (__m512bh)_mm512_set1_epi32(pair));
#else
  const uint32_t low = (uint32_t)pair << 16, high = (uint32_t)pair & 0xFFFF0000u;
  float first, second;
  std::memcpy(&first, &low, sizeof(first));
  std::memcpy(&second, &high, sizeof(second));
  sum += (Floats)(columns << 16) * first;
  return sum + (Floats)(columns & 0xFFFF0000u) * second;
#endif
}

// Bytes to ask for ahead: with several rows the machine by itself falls behind.
constexpr int64_t kAhead = 2048;

// `Rows` rows times `Panels` panels, all sums in registers.
template <class W, class X, int Rows, int Panels>
void tile(const W* weight, int64_t panel_size, int64_t groups, const X* x, int64_t x_stride, float* out,
          int64_t out_stride) {
  constexpr int64_t depth = Layout<W>::kDepth;
  Floats sums[Rows][Panels] = {};
  for (int64_t group = 0; group < groups; group++)
    for (int panel = 0; panel < Panels; panel++) {
      const W* place = weight + panel * panel_size + group * kLanes * depth;
      __builtin_prefetch((const char*)place + kAhead);
      const auto columns = columns_at(place);
      for (int row = 0; row < Rows; row++)
        sums[row][panel] = step(sums[row][panel], columns, x + row * x_stride + group * depth);
    }
  for (int row = 0; row < Rows; row++)
    for (int panel = 0; panel < Panels; panel++) store(out + row * out_stride + panel * kLanes, sums[row][panel]);
}

// out[M, N] of type T; `scales` [N] multiply the sums of a weight that is quantised.
template <class W, class T>
struct Product {
  using X = typename Layout<W>::Row;
  const W* weight;
  int64_t panel_size, groups, columns;
  const X* x;
  int64_t x_stride;
  const float* scales;
  const T* bias;
  T* out;

  template <int Rows, int Panels>
  void block(int64_t row, int64_t panel) const {
    float sums[Rows * Panels * kLanes];
    tile<W, X, Rows, Panels>(weight + panel * panel_size, panel_size, groups, x + row * x_stride, x_stride, sums,
                             Panels * kLanes);
    const int64_t first = panel * kLanes, width = std::min<int64_t>(Panels * kLanes, columns - first);
    for (int r = 0; r < Rows; r++)
      for (int64_t c = 0; c < width; c++) {
        const float sum = sums[r * Panels * kLanes + c] * (scales ? scales[first + c] : 1.0f);
        out[(row + r) * columns + first + c] = (T)(sum + (bias ? (float)bias[first + c] : 0.0f));
      }
  }

  template <int Rows, int Panels>
  void columns_of(int64_t row, int64_t begin, int64_t end) const {
    int64_t panel = begin;
    for (; panel + Panels <= end; panel += Panels) block<Rows, Panels>(row, panel);
    for (; panel < end; panel++)
      for (int r = 0; r < Rows; r++) block<1, 1>(row + r, panel);
  }

  // At most 24 sums are in registers, of the 32 that the widest machines have. Few sizes: each is compiled.
  void all_rows(int64_t rows, int64_t begin, int64_t end) const {
    int64_t row = 0;
    for (; row + 8 <= rows; row += 8) columns_of<8, 3>(row, begin, end);
    for (; row + 4 <= rows; row += 4) columns_of<4, 6>(row, begin, end);
    for (; row + 2 <= rows; row += 2) columns_of<2, 8>(row, begin, end);
    for (; row < rows; row++) columns_of<1, 8>(row, begin, end);
  }
};

template <class W, class T>
void multiply(const Tensor& x, const Tensor& packed, const std::optional<Tensor>& scales,
              const std::optional<Tensor>& bias, Tensor& out) {
  using X = typename Layout<W>::Row;
  constexpr int64_t depth = Layout<W>::kDepth;
  const int64_t groups = packed.size(1), panels = packed.size(0), inner = x.size(1), rows = x.size(0);
  Tensor dense = x.to(c10::CppTypeToScalarType<X>::value).contiguous();
  if (inner != groups * depth) dense = at::constant_pad_nd(dense, {0, groups * depth - inner});
  const Product<W, T> product{packed.const_data_ptr<W>(),
                              groups * kLanes * depth,
                              groups,
                              out.size(1),
                              dense.const_data_ptr<X>(),
                              groups * depth,
                              scales ? scales->const_data_ptr<float>() : nullptr,
                              bias ? bias->const_data_ptr<T>() : nullptr,
                              out.mutable_data_ptr<T>()};
  // As many panels at a time as stay in the second-level cache while all rows pass over them.
  const int64_t bytes = groups * kLanes * depth * (int64_t)sizeof(W);
  const int64_t together = std::max<int64_t>(24, (384 << 10) / bytes / 24 * 24);
  const int64_t grain = std::max<int64_t>(1, (16 << 10) / (groups * kLanes * depth));
  at::parallel_for(0, panels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; panel += together)
      product.all_rows(rows, panel, std::min(end, panel + together));
  });
}

// weight [N, K] as panels.
Tensor pack(const Tensor& weight) {
  const Tensor dense = weight.contiguous();
  switch (dense.scalar_type()) {
    case at::kFloat: return pack_as<float>(dense);
    case at::kChar: return pack_as<int8_t>(dense);
    default: return pack_as<BFloat16>(dense);
  }
}

// x [..., K] times a packed weight with `columns` outputs; `scales` [N] in float for a weight of 8 bits.
Tensor linear(const Tensor& x, const Tensor& packed, const std::optional<Tensor>& scales,
              const std::optional<Tensor>& bias, int64_t columns) {
  auto sizes = x.sizes().vec();
  const Tensor rows = x.reshape({-1, sizes.back()});
  Tensor out = at::empty({rows.size(0), columns}, x.options());
  const bool quantised = packed.scalar_type() == at::kChar, wide = x.scalar_type() == at::kFloat;
  if (quantised && wide)
    multiply<int8_t, float>(rows, packed, scales, bias, out);
  else if (quantised)
    multiply<int8_t, BFloat16>(rows, packed, scales, bias, out);
  else if (wide)
    multiply<float, float>(rows, packed, scales, bias, out);
  else
    multiply<BFloat16, BFloat16>(rows, packed, scales, bias, out);
  sizes.back() = columns;
  return out.view(sizes);
}

}  // namespace
}  // namespace apar

TORCH_LIBRARY_FRAGMENT(apar, library) {
  library.def("pack(Tensor weight) -> Tensor");
  library.def("linear(Tensor x, Tensor packed, Tensor? scales, Tensor? bias, int columns) -> Tensor");
}

TORCH_LIBRARY_IMPL(apar, CPU, library) {
  library.impl("pack", apar::pack);
  library.impl("linear", apar::linear);
}
