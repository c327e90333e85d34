// Cells that streams hold at a value. step.h includes this file, so each kernel compiles it for its
// own instruction set.
#pragma once

#include "kernel.h"

namespace {

// The number of a layer's first cell in a tile, as `Batch::hold_cells` counts cells.
inline int first_cell(const Network& network, int layer, int tile) {
  return layer * network.width + tile * kLanes;
}

// Whether a stream holds some of the 16 cells from `first` on in a step.
inline bool holds_cells(const Batch& batch, int step, int stream, int first) {
  if (step < batch.prompt_steps[stream]) return false;
  const int32_t* cells = batch.hold_cells + std::size_t(stream) * kMaxHolds;
  for (int i = 0; i < batch.hold_counts[stream]; ++i)
    if (cells[i] >= first && cells[i] < first + kLanes) return true;
  return false;
}

// The cell states that a stream holds among 16 cells.
struct HeldCells {
  int32_t held[kLanes];  // 0 if the cell is not held
  float values[kLanes];
};

// Returns what a stream holds among the 16 cells from `first` on.
inline HeldCells find_held_cells(const Batch& batch, int stream, int first) {
  const std::size_t holds = std::size_t(stream) * kMaxHolds;
  HeldCells held = {};
  for (int i = 0; i < batch.hold_counts[stream]; ++i) {
    const int unit = batch.hold_cells[holds + i] - first;
    if (unit < 0 || unit >= kLanes) continue;
    held.held[unit] = 1;
    held.values[unit] = batch.hold_values[holds + i];
  }
  return held;
}

}  // namespace
