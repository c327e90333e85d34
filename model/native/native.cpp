// What Python calls, by ctypes: `model/native.py`.
#include <exception>

#include "team.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {
const Kernel* const kKernels[] = {&kAmxInt8, &kAvx512Vnni, &kAvxVnni, &kAvx2, &kNeonDot, &kPlain};
constexpr int kCount = sizeof kKernels / sizeof *kKernels;
}  // namespace

// The version and sizes of what Python lays out, for it to compare.
EXPORT void charstream_layout(int32_t* layout) {
  layout[0] = kLayout;
  layout[1] = sizeof(Product);
  layout[2] = sizeof(Network);
  layout[3] = sizeof(Batch);
}

// The name of a kernel, fastest first; null after the last.
EXPORT const char* charstream_name(int kernel) {
  return kernel < kCount ? kKernels[kernel]->name : nullptr;
}

EXPORT int charstream_available(int kernel) { return kKernels[kernel]->available(); }

// A team of threads for a network, which has to stay where it is; null where there is no room.
EXPORT Team* charstream_open(int kernel, const Network* network, int threads) {
  try {
    return new Team(*kKernels[kernel], *network, threads);
  } catch (const std::exception&) {
    return nullptr;
  }
}

EXPORT void charstream_run(Team* team, const Batch* batch) { team->run(*batch); }

EXPORT void charstream_multiply(Team* team, const Batch* batch) { team->multiply(*batch); }

EXPORT void charstream_close(Team* team) { delete team; }
