// A running softmax: scores of one query for a stretch of slots, their weights, and the weighted values.
//
// Every sum is taken in the order of the slots, so the result depends on nothing but the slots that are seen.
#pragma once

#include <algorithm>

#include "vectors.h"

namespace apar {

constexpr int64_t kSlotsTogether = 64;  // slots that are weighed at once, at least
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

}  // namespace apar
