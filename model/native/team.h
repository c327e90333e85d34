// The threads that step a decoder's streams: the caller's thread and its helpers.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "barrier.h"
#include "kernel.h"

// What the threads of a team exchange at the end of layers and steps.
struct Meeting {
  Barrier barrier;
  alignas(kCacheLine) Patience patience;  // of the caller's thread
  // Number of threads after this step. The caller's thread decides, and all threads read it.
  alignas(kCacheLine) int next_threads = 0;
};

// Calls of one team must not overlap.
class Team {
 public:
  // Throws std::bad_alloc or std::system_error. `run` and `multiply_layers` allocate nothing.
  Team(const Kernel& kernel, const Network& network, int threads);
  ~Team();
  Team(const Team&) = delete;

  // Takes all steps of a batch. Each thread has a fixed range of every layer's tiles, so that these
  // weights stay in its core's own cache if they fit. The threads meet after each layer.
  //
  // The first `threads` threads compute, and the others sleep. If the caller waits for most of
  // the time (see Patience), half of the threads take the remaining steps. Returns how many threads
  // are left after the last one.
  int run(const Batch& batch, int threads, int64_t patience);

  // Computes only the layers' products of the batch's steps: a lower limit of the time of `run`.
  void multiply_layers(const Batch& batch) {
    meeting_.patience.start(nanoseconds_now(), INT64_MAX / 2);  // nobody asks for it
    execute(kernel_.multiply_layers, batch, helpers_.size() + 1);
  }

 private:
  using Work = void (*)(Task&);

  // What a thread writes while it chooses ids. On lines of its own, see barrier.h.
  struct alignas(kCacheLine) Workspace {
    explicit Workspace(const Network& network);
    Sampler sampler;
    LineVector<float> logits, exponentials, constrained;
  };

  // Another thread of the team. It polls, or sleeps, until its number of calls changes.
  struct alignas(kCacheLine) Helper {
    std::atomic<unsigned> calls{0};
    std::thread thread;
  };

  int execute(Work work, const Batch& batch, int threads);
  void serve_as_helper(int thread);
  int work_as(int thread);
  void stop();

  const Kernel& kernel_;
  const Network network_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;
  std::vector<std::unique_ptr<Helper>> helpers_;  // thread 1 is the first one
  Meeting meeting_;

  // The caller writes these for each call, before it wakes the helpers.
  alignas(kCacheLine) const Batch* batch_ = nullptr;
  Work work_ = nullptr;  // null tells the helpers to stop
  int threads_ = 0;
};
