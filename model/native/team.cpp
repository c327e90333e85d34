// The threads of a team, and the functions that Python calls through ctypes:
// `model/native/library.py` and `model/native/team.py`.
#include "team.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <type_traits>

void meet(const Task& task) {
  Meeting& meeting = task.meeting;
  if (task.thread == 0) meeting.barrier.arrive_and_wait(task.threads, meeting.patience);
  else meeting.barrier.arrive_and_wait(task.threads);
}

// The caller's thread writes the next number before the threads meet. They read it after that and
// before they meet again.
void meet_after_layer(const Task& task) {
  if (task.thread == 0) {
    int& next = task.meeting.next_threads;
    const int wanted = task.meeting.patience.is_over() ? (task.threads + 1) / 2 : task.threads;
    if (next != wanted) next = wanted;  // the other threads keep its cache line otherwise
  }
  meet(task);
}

bool meet_after_step(Task& task) {
  const int next = task.meeting.next_threads;
  meet(task);
  if (next < task.threads && task.thread == 0) task.meeting.patience.renew();
  task.threads = next;
  return task.thread < next;
}

Team::Workspace::Workspace(const Network& network)
    : sampler(network.vocabulary_size),
      logits(std::size_t(kMaxBlock) * network.output->tiles * kTileOutputs),
      exponentials(std::size_t(network.output->tiles) * kTileOutputs + 1),
      constrained(std::size_t(network.output->tiles) * kTileOutputs) {}

Team::Team(const Kernel& kernel, const Network& network, int threads)
    : kernel_(kernel), network_(network) {
  for (int thread = 0; thread < threads; ++thread)
    workspaces_.push_back(std::make_unique<Workspace>(network));
  for (int thread = 1; thread < threads; ++thread) helpers_.push_back(std::make_unique<Helper>());
  try {
    for (int thread = 1; thread < threads; ++thread)
      helpers_[thread - 1]->thread = std::thread([this, thread] { serve_as_helper(thread); });
  } catch (...) {
    stop();
    throw;
  }
}

Team::~Team() { stop(); }

int Team::run(const Batch& batch, int threads, int64_t patience) {
  if (threads == 1) return execute(kernel_.run, batch, 1);
  meeting_.patience.start(nanoseconds_now(), patience);
  // All threads try again: the smaller team has earned time since its patience was renewed.
  if (threads_ && threads > threads_) meeting_.patience.renew();
  const int left = execute(kernel_.run, batch, threads);
  meeting_.patience.earn(nanoseconds_now());
  return left;
}

int Team::execute(Work work, const Batch& batch, int threads) {
  batch_ = &batch;
  work_ = work;
  threads_ = threads;
  for (int thread = 1; thread < threads; ++thread) advance_and_wake(helpers_[thread - 1]->calls);
  return work_as(0);
}

void Team::serve_as_helper(int thread) {
  for (unsigned calls = 0;; ++calls) {
    wait_for_change(helpers_[thread - 1]->calls, calls);
    if (!work_) return;
    work_as(thread);
  }
}

// Returns the number of threads in the last step.
//
// Every kind of work ends at the barrier. After it, no thread reads the batch any more.
int Team::work_as(int thread) {
  Workspace& own = *workspaces_[thread];
  Task task{network_, *batch_, thread, threads_, meeting_, own.sampler, own.logits.data(),
            workspaces_[0]->logits.data(), own.exponentials.data(), own.constrained.data()};
  work_(task);
  return task.threads;
}

void Team::stop() {
  work_ = nullptr;
  for (auto& helper : helpers_)
    if (helper->thread.joinable()) {
      advance_and_wake(helper->calls);
      helper->thread.join();
    }
}

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

// The size of a stream's memory in bytes, which has to be zeroed and aligned as a product's arrays.
// 0 if a network of this vocabulary can have none.
EXPORT int64_t charstream_memory_bytes(int vocabulary_size) { return memory_bytes(vocabulary_size); }

// Mixes the logits of the next character with a memory that reads `id`. The other backends use it.
EXPORT void charstream_mix(Memory* memory, int64_t id, const float* logits, int vocabulary_size,
                           float* mixed) {
  std::copy_n(mix_logits(memory, id, logits, vocabulary_size), vocabulary_size, mixed);
}

EXPORT void charstream_close(Team* team) { delete team; }
