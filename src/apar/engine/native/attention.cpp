// Attention over a paged cache: stores the keys and values of a pass, then attends along every row's path.
//
// A query runs over its path in order, a stretch of blocks at a time, with a running maximum: its result does not
// depend on what else is in the pass, nor on how many tokens of its row are fed at once, not even in the last bit.
// The last tokens of a row may be its draft: candidates for what comes behind the path. They see the whole path, and
// of the draft the tokens of a bit mask.
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <torch/types.h>

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace apar {
namespace {

using at::Tensor;

constexpr int64_t kQueriesTogether = 8;  // tokens of a row that share the conversion of a block
constexpr int64_t kSlotsTogether = 64;   // slots that are weighed at once, at least
constexpr float kNothing = -1e30f;

struct Shape {
  int64_t heads, kv_heads, size, block_size, table_width;
  float scale, softcap;  // softcap 0: none
  int64_t window;        // 0: the whole path

  int64_t vectors() const { return (size + kLanes - 1) / kLanes; }
  // Blocks of a stretch, and its slots, filled up to whole vectors.
  int64_t stretch() const { return std::max<int64_t>(1, kSlotsTogether / block_size); }
  int64_t slots() const { return (stretch() * block_size + kLanes - 1) / kLanes * kLanes; }
  int64_t folded() const { return heads / kv_heads; }
};

// The rows' drafts, null where no row has one.
struct Drafts {
  const int64_t *visible, *positions;  // of each token: the draft tokens that it sees, and its path position
  const int64_t* counts;               // of each row: its draft tokens
};

// Some successive tokens of one row, for one key head.
struct Task {
  int64_t row, first, count, head;
};

// What one thread of the host works in.
struct Scratch {
  std::vector<float> queries, keys, values, scores, sums, maxima, totals;

  explicit Scratch(const Shape& shape) {
    const int64_t rows = kQueriesTogether * shape.folded(), width = shape.vectors() * kLanes;
    const int64_t slots = shape.slots();
    queries.resize(rows * width);
    sums.resize(rows * width);
    keys.resize(slots * width);
    values.resize(slots * width);
    scores.resize(rows * slots);
    maxima.resize(rows);
    totals.resize(rows);
  }
};

template <class T>
void widen(const T* from, int64_t size, float scale, float* to) {
  for (int64_t d = 0; d < size; d++) to[d] = (float)from[d] * scale;
}

inline Floats capped(Floats scores, float cap) {
  const Floats x = scores / cap, distance = x < 0.0f ? -x : x;
  const Floats e = exponential(-2.0f * distance);
  const Floats bent = cap * (1.0f - e) / (1.0f + e);
  return x < 0.0f ? -bent : bent;
}

// The scores of one query for the first `slots` of a stretch, masked to [low, high). `Vectors` 0: known at run
// time only.
template <int Vectors>
inline void score(const float* query, const float* keys, const Shape& shape, int64_t slots, int64_t low,
                  int64_t high, float* scores) {
  const int64_t vectors = Vectors ? Vectors : shape.vectors();
  const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  for (int64_t first = 0; first < slots; first += kLanes) {
    Floats products[kLanes];
    for (int64_t lane = 0; lane < kLanes; lane++) {
      const float* key = keys + (first + lane) * vectors * kLanes;
      Floats product = load(query) * load(key);
      for (int64_t v = 1; v < vectors; v++) product += load(query + v * kLanes) * load(key + v * kLanes);
      products[lane] = product;
    }
    Floats found = sums(products);
    if (shape.softcap) found = capped(found, shape.softcap);
    const Ints slot = lanes + (int32_t)first;
    const Ints seen = (slot >= (int32_t)low) & (slot < (int32_t)high);
    store(scores + first, seen ? found : splat(kNothing));
  }
}

// Take a stretch's scores into the running softmax; scores become weights. Returns by what earlier sums shrink.
inline float weigh(float* scores, int64_t slots, float& maximum, float& total) {
  Floats top = splat(maximum);
  for (int64_t first = 0; first < slots; first += kLanes) {
    const Floats found = load(scores + first);
    top = larger(top, found);
  }
  const float highest = largest(top);
  Floats mass = {};
  for (int64_t first = 0; first < slots; first += kLanes) {
    const Floats found = load(scores + first);
    const Floats weight = found > 0.5f * kNothing ? exponential(found - highest) : Floats{};
    store(scores + first, weight);
    mass += weight;
  }
  const float shrink = exponential(splat(maximum - highest))[0];
  maximum = highest;
  total = total * shrink + sum(mass);
  return shrink;
}

template <int Vectors>
inline void add_values(const float* weights, const float* values, const Shape& shape, int64_t filled, float shrink,
                       float* sums) {
  const int64_t vectors = Vectors ? Vectors : shape.vectors();
  constexpr int kTogether = Vectors && Vectors <= 8 ? Vectors : 1;
  for (int64_t first = 0; first < vectors; first += kTogether) {
    Floats results[kTogether];
    for (int v = 0; v < kTogether; v++) results[v] = load(sums + (first + v) * kLanes) * shrink;
    for (int64_t slot = 0; slot < filled; slot++)
      for (int v = 0; v < kTogether; v++)
        results[v] += weights[slot] * load(values + (slot * vectors + first + v) * kLanes);
    for (int v = 0; v < kTogether; v++) store(sums + (first + v) * kLanes, results[v]);
  }
}

template <class T, int Vectors>
struct Attention {
  Shape shape;
  const T *query, *keys, *values;
  T* out;
  int64_t query_stride, query_head_stride;
  const int64_t *tables, *ends, *offsets;
  Drafts drafts;

  // Slot of the row's first fed token.
  int64_t begin(int64_t row) const { return ends[row] - (offsets[row + 1] - offsets[row]); }

  // Slots of the row's path; those of its draft come after them.
  int64_t path_end(int64_t row) const { return ends[row] - (drafts.counts ? drafts.counts[row] : 0); }

  void run(const Task& task, Scratch& scratch) const {
    const int64_t width = shape.vectors() * kLanes, folded = shape.folded();
    const int64_t rows = task.count * folded, path = begin(task.row) + task.first;
    for (int64_t r = 0; r < rows; r++) {
      const int64_t token = offsets[task.row] + task.first + r / folded, head = task.head * folded + r % folded;
      widen(query + token * query_stride + head * query_head_stride, shape.size, shape.scale,
            &scratch.queries[r * width]);
    }
    std::fill_n(scratch.sums.begin(), rows * width, 0.0f);
    std::fill_n(scratch.maxima.begin(), rows, kNothing);
    std::fill_n(scratch.totals.begin(), rows, 0.0f);
    const int64_t slots = shape.stretch() * shape.block_size;
    // In a path the slot is the position; no draft token's position is before the path's end.
    const int64_t earliest = std::min(path, path_end(task.row));
    const int64_t oldest = shape.window ? std::max<int64_t>(0, earliest + 1 - shape.window) : 0;
    for (int64_t origin = oldest / slots * slots; origin < path + task.count; origin += slots)
      attend(task, origin, std::min(slots, path + task.count - origin), path, rows, scratch);
    for (int64_t r = 0; r < rows; r++) {
      const int64_t token = offsets[task.row] + task.first + r / folded, head = task.head * folded + r % folded;
      T* to = out + (token * shape.heads + head) * shape.size;
      for (int64_t d = 0; d < shape.size; d++) to[d] = (T)(scratch.sums[r * width + d] / scratch.totals[r]);
    }
  }

  // Mask the scores of a draft token, the pass's `token` of `row`, for the draft's slots from `first` to `high`.
  void mask_drafts(int64_t row, int64_t token, int64_t origin, int64_t first, int64_t high, float* scores) const {
    const int64_t end = path_end(row), draft = offsets[row] + end - begin(row);
    for (int64_t slot = first; slot < high; slot++) {
      const int64_t number = origin + slot - end;
      const bool near = !shape.window || drafts.positions[draft + number] > drafts.positions[token] - shape.window;
      if (!(drafts.visible[token] >> number & 1) || !near) scores[slot] = kNothing;
    }
  }

  // The stretch of slots from slot `origin` of the row on, for all queries of the task; `filled` slots are written.
  void attend(const Task& task, int64_t origin, int64_t filled, int64_t path, int64_t rows, Scratch& scratch) const {
    const int64_t width = shape.vectors() * kLanes, folded = shape.folded();
    const int64_t slots = (filled + kLanes - 1) / kLanes * kLanes;
    for (int64_t begin = 0; begin < filled; begin += shape.block_size) {
      const int64_t block = tables[task.row * shape.table_width + (origin + begin) / shape.block_size];
      const int64_t from = (block * shape.kv_heads + task.head) * shape.block_size * shape.size;
      for (int64_t slot = begin; slot < std::min(begin + shape.block_size, filled); slot++) {
        widen(keys + from + (slot - begin) * shape.size, shape.size, 1.0f, &scratch.keys[slot * width]);
        widen(values + from + (slot - begin) * shape.size, shape.size, 1.0f, &scratch.values[slot * width]);
      }
    }
    for (int64_t r = 0; r < rows; r++) {
      const int64_t index = path + r / folded, token = offsets[task.row] + task.first + r / folded;
      const bool draft = drafts.visible && drafts.visible[token];
      const int64_t position = draft ? drafts.positions[token] : index;
      const int64_t high = std::min(filled, index + 1 - origin);
      const int64_t low = shape.window ? position + 1 - shape.window - origin : 0;
      if (high <= 0 || low >= filled) continue;
      float* scores = &scratch.scores[r * shape.slots()];
      score<Vectors>(&scratch.queries[r * width], scratch.keys.data(), shape, slots, low, high, scores);
      if (draft)
        mask_drafts(task.row, token, origin, std::max<int64_t>(0, path_end(task.row) - origin), high, scores);
      const float shrink = weigh(scores, slots, scratch.maxima[r], scratch.totals[r]);
      add_values<Vectors>(scores, scratch.values.data(), shape, filled, shrink, &scratch.sums[r * width]);
    }
  }
};

std::vector<Task> tasks_of(const Tensor& offsets, int64_t kv_heads) {
  std::vector<Task> tasks;
  const int64_t* offset = offsets.const_data_ptr<int64_t>();
  for (int64_t row = 0; row + 1 < offsets.numel(); row++) {
    const int64_t length = offset[row + 1] - offset[row];
    for (int64_t first = 0; first < length; first += kQueriesTogether)
      for (int64_t head = 0; head < kv_heads; head++)
        tasks.push_back({row, first, std::min(kQueriesTogether, length - first), head});
  }
  return tasks;
}

// Rows [T, K, D] to their slots of a cache [blocks, K, block size, D].
template <class T>
void store_rows(const Tensor& rows, Tensor& cache, const Tensor& slots, const std::optional<Tensor>& write_source) {
  const int64_t heads = rows.size(1), size = rows.size(2), block_size = cache.size(2);
  const int64_t* slot = slots.const_data_ptr<int64_t>();
  const int64_t* token = write_source ? write_source->const_data_ptr<int64_t>() : nullptr;
  const T* from = rows.const_data_ptr<T>();
  T* to = cache.mutable_data_ptr<T>();
  for (int64_t k = 0; k < slots.numel(); k++)
    for (int64_t head = 0; head < heads; head++)
      std::memcpy(to + ((slot[k] / block_size * heads + head) * block_size + slot[k] % block_size) * size,
                  from + (token ? token[k] : k) * rows.stride(0) + head * rows.stride(1), size * sizeof(T));
}

template <class T, int Vectors>
void attend_as(const Tensor& query, const Tensor& keys, const Tensor& values, const Tensor& tables,
               const Tensor& ends, const Tensor& offsets, const Drafts& drafts, const Shape& shape, Tensor& out) {
  const Attention<T, Vectors> attention{shape,
                                        query.const_data_ptr<T>(),
                                        keys.const_data_ptr<T>(),
                                        values.const_data_ptr<T>(),
                                        out.mutable_data_ptr<T>(),
                                        query.stride(0),
                                        query.stride(1),
                                        tables.const_data_ptr<int64_t>(),
                                        ends.const_data_ptr<int64_t>(),
                                        offsets.const_data_ptr<int64_t>(),
                                        drafts};
  const std::vector<Task> tasks = tasks_of(offsets, shape.kv_heads);
  at::parallel_for(0, (int64_t)tasks.size(), 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(shape);
    for (int64_t k = begin; k < end; k++) attention.run(tasks[k], scratch);
  });
}

// The usual sizes of heads, 64 and 128, have loops of known length.
template <class T>
void attend(const Tensor& query, const Tensor& keys, const Tensor& values, const Tensor& tables, const Tensor& ends,
            const Tensor& offsets, const Drafts& drafts, const Shape& shape, Tensor& out) {
  switch (shape.vectors()) {
    case 4: return attend_as<T, 4>(query, keys, values, tables, ends, offsets, drafts, shape, out);
    case 8: return attend_as<T, 8>(query, keys, values, tables, ends, offsets, drafts, shape, out);
    default: return attend_as<T, 0>(query, keys, values, tables, ends, offsets, drafts, shape, out);
  }
}

// query [T, H, D], key and value [T, K, D] with D dense; keys and values [blocks, K, block size, D]; slots [S];
// write_source [S]; tables [R, W]; ends [R]; offsets [R + 1]; visible and positions [T] and drafts [R] or none of the
// three. Returns [T, H, D].
Tensor paged_attention(const Tensor& query, const Tensor& key, const Tensor& value, Tensor keys, Tensor values,
                       const Tensor& slots, const std::optional<Tensor>& write_source, const Tensor& tables,
                       const Tensor& ends, const Tensor& offsets, const std::optional<Tensor>& visible,
                       const std::optional<Tensor>& positions, const std::optional<Tensor>& drafts, double scale,
                       int64_t window, double softcap) {
  TORCH_CHECK(query.stride(2) == 1 && key.stride(2) == 1 && value.stride(2) == 1, "heads are not dense");
  const Shape shape{query.size(1), key.size(1),    query.size(2),  keys.size(2),
                    tables.size(1), (float)scale, (float)softcap, window};
  const auto numbers = [](const std::optional<Tensor>& tensor) {
    return tensor ? tensor->const_data_ptr<int64_t>() : nullptr;
  };
  const Drafts masks{numbers(visible), numbers(positions), numbers(drafts)};
  Tensor out = at::empty(query.sizes(), query.options());
  if (query.scalar_type() == at::kFloat) {
    store_rows<float>(key, keys, slots, write_source);
    store_rows<float>(value, values, slots, write_source);
    attend<float>(query, keys, values, tables, ends, offsets, masks, shape, out);
  } else {
    store_rows<BFloat16>(key, keys, slots, write_source);
    store_rows<BFloat16>(value, values, slots, write_source);
    attend<BFloat16>(query, keys, values, tables, ends, offsets, masks, shape, out);
  }
  return out;
}

}  // namespace
}  // namespace apar

TORCH_LIBRARY_FRAGMENT(apar, library) {
  library.def(
      "paged_attention(Tensor query, Tensor key, Tensor value, Tensor(a!) keys, Tensor(b!) values, Tensor slots, "
      "Tensor? write_source, Tensor tables, Tensor ends, Tensor offsets, Tensor? visible, Tensor? positions, "
      "Tensor? drafts, float scale, int window, float softcap) -> Tensor");
}

TORCH_LIBRARY_IMPL(apar, CPU, library) { library.impl("paged_attention", apar::paged_attention); }
