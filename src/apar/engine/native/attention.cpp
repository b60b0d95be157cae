// Attention over a paged cache: stores the keys and values of a pass, then attends along every row's path.
//
// A query runs over its path in order, a stretch of blocks at a time, with a running maximum: its result does not
// depend on what else is in the pass, nor on how many tokens of its row are fed at once, not even in the last bit.
// The last tokens of a row may be its draft, a tree of candidates for what comes behind the path. They see the whole
// path, then the draft tokens of their branch in the places that these would have as a part of the path.
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <torch/types.h>

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "softmax.h"

namespace apar {
namespace {

using at::Tensor;

constexpr int64_t kQueriesTogether = 8;  // tokens of a row that share the conversion of a block
constexpr int64_t kDraftTokens = 64;     // of a row, at most

// The rows' drafts, null where no row has one.
struct Drafts {
  const int64_t* visible;  // of each token: the draft tokens on its branch, itself the last; 0 for one of a path
  const int64_t* counts;   // of each row: its draft tokens
};

// Some successive tokens of one row, for one key head.
struct Task {
  int64_t row, first, count, head;
};

// What one thread of the host works in.
struct Scratch {
  std::vector<float> queries, keys, values, scores, sums, maxima, totals;
  std::array<int64_t, kQueriesTogether> positions;

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

  // Have keys and values of at least so many floats.
  void make_room(int64_t floats) {
    if ((int64_t)keys.size() >= floats) return;
    keys.resize(floats);
    values.resize(floats);
  }
};

template <class T>
void widen(const T* from, int64_t size, float scale, float* to) {
  for (int64_t d = 0; d < size; d++) to[d] = (float)from[d] * scale;
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

  int64_t visible(const Task& task, int64_t k) const {
    return drafts.visible ? drafts.visible[offsets[task.row] + task.first + k] : 0;
  }

  void run(const Task& task, Scratch& scratch) const {
    const int64_t slots = shape.stretch() * shape.block_size, end = path_end(task.row);
    const bool in_order = start(task, scratch);
    // No draft token's position is before the path's end.
    const int64_t earliest = std::min(begin(task.row) + task.first, end);
    const int64_t oldest = shape.window ? std::max<int64_t>(0, earliest + 1 - shape.window) : 0;
    const int64_t limit = in_order ? begin(task.row) + task.first + task.count : end / slots * slots;
    for (int64_t origin = oldest / slots * slots; origin < limit; origin += slots) {
      const int64_t filled = std::min(slots, limit - origin);
      convert(task, origin, filled, 0, scratch);
      for (int64_t k = 0; k < task.count; k++) attend(k, origin, filled, 0, scratch);
    }
    if (!in_order) attend_branches(task, scratch);
    finish(task, scratch);
  }

  // Read the queries of the task and the positions of its tokens. Returns whether each token sees all slots before
  // its own, as in a path or in a draft that is a chain.
  bool start(const Task& task, Scratch& scratch) const {
    const int64_t width = shape.vectors() * kLanes, folded = shape.folded(), rows = task.count * folded;
    bool in_order = true;
    for (int64_t k = 0; k < task.count; k++) {
      const int64_t slot = begin(task.row) + task.first + k, seen = visible(task, k);
      scratch.positions[k] = seen ? path_end(task.row) + std::popcount((uint64_t)seen) - 1 : slot;
      in_order &= scratch.positions[k] == slot;
    }
    for (int64_t r = 0; r < rows; r++) {
      const int64_t token = offsets[task.row] + task.first + r / folded, head = task.head * folded + r % folded;
      widen(query + token * query_stride + head * query_head_stride, shape.size, shape.scale,
            &scratch.queries[r * width]);
    }
    std::fill_n(scratch.sums.begin(), rows * width, 0.0f);
    std::fill_n(scratch.maxima.begin(), rows, kNothing);
    std::fill_n(scratch.totals.begin(), rows, 0.0f);
    return in_order;
  }

  void finish(const Task& task, Scratch& scratch) const {
    const int64_t width = shape.vectors() * kLanes, folded = shape.folded();
    for (int64_t r = 0; r < task.count * folded; r++) {
      const int64_t token = offsets[task.row] + task.first + r / folded, head = task.head * folded + r % folded;
      T* to = out + (token * shape.heads + head) * shape.size;
      for (int64_t d = 0; d < shape.size; d++) to[d] = (T)(scratch.sums[r * width + d] / scratch.totals[r]);
    }
  }

  // Keys and values of `count` slots of the row, from `slot` on, to the scratch from `place` on.
  void convert(const Task& task, int64_t slot, int64_t count, int64_t place, Scratch& scratch) const {
    const int64_t width = shape.vectors() * kLanes;
    for (int64_t done = 0; done < count;) {
      const int64_t block = (slot + done) / shape.block_size, offset = slot + done - block * shape.block_size;
      const int64_t length = std::min(count - done, shape.block_size - offset);
      const int64_t head = tables[task.row * shape.table_width + block] * shape.kv_heads + task.head;
      const int64_t from = (head * shape.block_size + offset) * shape.size, to = (place + done) * width;
      for (int64_t k = 0; k < length; k++) {
        widen(keys + from + k * shape.size, shape.size, 1.0f, &scratch.keys[to + k * width]);
        widen(values + from + k * shape.size, shape.size, 1.0f, &scratch.values[to + k * width]);
      }
      done += length;
    }
  }

  // A stretch for the queries of the task's token k: `filled` positions from `origin` on, in the scratch from
  // `place` on.
  void attend(int64_t k, int64_t origin, int64_t filled, int64_t place, Scratch& scratch) const {
    const int64_t width = shape.vectors() * kLanes, folded = shape.folded();
    const int64_t slots = (filled + kLanes - 1) / kLanes * kLanes, behind = scratch.positions[k] + 1 - origin;
    const int64_t low = shape.window ? behind - shape.window : 0, high = std::min(filled, behind);
    if (high <= 0 || low >= filled) return;
    for (int64_t r = k * folded; r < (k + 1) * folded; r++) {
      float* scores = &scratch.scores[r * shape.slots()];
      score<Vectors>(&scratch.queries[r * width], &scratch.keys[place * width], shape, slots, low, high, scores);
      const float shrink = weigh(scores, slots, scratch.maxima[r], scratch.totals[r]);
      add_values<Vectors>(scores, &scratch.values[place * width], shape, filled, shrink, &scratch.sums[r * width]);
    }
  }

  // The stretches from the one on in which the path ends. For every token its branch is put in order behind the
  // path, and so it is summed in the same order as a path.
  void attend_branches(const Task& task, Scratch& scratch) const {
    const int64_t slots = shape.stretch() * shape.block_size, end = path_end(task.row), origin = end / slots * slots;
    scratch.make_room((shape.slots() + kDraftTokens + kLanes) * shape.vectors() * kLanes);
    convert(task, origin, end - origin, 0, scratch);
    std::array<int64_t, kDraftTokens> placed;
    placed.fill(-1);
    for (int64_t k = 0; k < task.count; k++) {
      int64_t depth = 0;
      for (uint64_t seen = visible(task, k); seen; seen &= seen - 1, depth++) {
        const int64_t number = std::countr_zero(seen);
        if (placed[depth] != number) convert(task, end + number, 1, end - origin + depth, scratch);
        placed[depth] = number;
      }
      for (int64_t first = origin; first <= scratch.positions[k]; first += slots)
        attend(k, first, std::min(slots, scratch.positions[k] + 1 - first), first - origin, scratch);
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
// write_source [S]; tables [R, W]; ends [R]; offsets [R + 1]; visible [T] and drafts [R] or neither. Returns [T, H, D].
Tensor paged_attention(const Tensor& query, const Tensor& key, const Tensor& value, Tensor keys, Tensor values,
                       const Tensor& slots, const std::optional<Tensor>& write_source, const Tensor& tables,
                       const Tensor& ends, const Tensor& offsets, const std::optional<Tensor>& visible,
                       const std::optional<Tensor>& drafts, double scale, int64_t window, double softcap) {
  TORCH_CHECK(query.stride(2) == 1 && key.stride(2) == 1 && value.stride(2) == 1, "heads are not dense");
  const Shape shape{query.size(1), key.size(1),    query.size(2),  keys.size(2),
                    tables.size(1), (float)scale, (float)softcap, window};
  const auto numbers = [](const std::optional<Tensor>& tensor) {
    return tensor ? tensor->const_data_ptr<int64_t>() : nullptr;
  };
  const Drafts masks{numbers(visible), numbers(drafts)};
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
      "Tensor? write_source, Tensor tables, Tensor ends, Tensor offsets, Tensor? visible, Tensor? drafts, "
      "float scale, int window, float softcap) -> Tensor");
}

TORCH_LIBRARY_IMPL(apar, CPU, library) { library.impl("paged_attention", apar::paged_attention); }
