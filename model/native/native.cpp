// The functions that Python calls through ctypes: `model/native/library.py`.
#include <algorithm>
#include <exception>
#include <iterator>
#include <type_traits>

#include "team.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// ctypes assumes C's rules for the position of fields.
static_assert(std::is_standard_layout_v<Product> && std::is_standard_layout_v<Network> &&
              std::is_standard_layout_v<Batch>);

namespace {
// The fastest first. `plain` runs everywhere and is the last.
const Kernel* const kKernels[] = {&kAmxInt8, &kAvx512Vnni, &kAvxVnni, &kAvx2, &kNeonDot, &kPlain};
constexpr int kKernelCount = sizeof kKernels / sizeof *kKernels;
}  // namespace

// Writes the layout's constants, at most `count` of them. Python compares them with its own:
// `Layout` in `model/native/library.py` has the same order.
EXPORT void charstream_constants(int32_t* constants, int count) {
  constexpr int32_t kConstants[] = {
      kLayoutVersion, sizeof(Product), sizeof(Network), sizeof(Batch), kLanes,    kGroupInputs,
      kTileOutputs,   kMaxBlock,       kAlignment,      kMaxWeight,    kZeroCode, kHiddenSteps,
      kMaxHolds};
  std::copy_n(kConstants, std::min(count, int(std::size(kConstants))), constants);
}

// Returns the name of a kernel, or null after the last one.
EXPORT const char* charstream_name(int kernel) {
  return kernel < kKernelCount ? kKernels[kernel]->name : nullptr;
}

EXPORT int charstream_available(int kernel) { return kKernels[kernel]->available(); }

// Starts a team of threads. The memory that `network` points to must outlive the team. Returns null
// if memory or threads are exhausted.
EXPORT Team* charstream_open(int kernel, const Network* network, int threads) {
  try {
    return new Team(*kKernels[kernel], *network, threads);
  } catch (const std::exception&) {
    return nullptr;
  }
}

// Takes a batch's steps with the first `threads` threads of a team, or fewer after waits that exceed
// the patience (in nanoseconds). Returns the number of threads that are left at the end.
EXPORT int charstream_run(Team* team, const Batch* batch, int threads, int64_t patience) {
  return team->run(*batch, threads, patience);
}

EXPORT void charstream_multiply(Team* team, const Batch* batch) { team->multiply_layers(*batch); }

EXPORT void charstream_close(Team* team) { delete team; }
