// The threads that step a decoder's streams: the caller's thread and its helpers.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "barrier.h"
#include "kernel.h"

// Calls of one team must not overlap.
class Team {
 public:
  // Throws std::bad_alloc or std::system_error. `run` and `multiply_layers` allocate nothing.
  Team(const Kernel& kernel, const Network& network, int threads);
  ~Team();
  Team(const Team&) = delete;

  // Takes all steps of a batch. Each thread has a fixed range of every layer's tiles, so that these
  // weights stay in its core's own cache if they fit. The threads meet after each layer.
  void run(const Batch& batch) { execute(kernel_.run, batch); }

  // Computes only the layers' products of the batch's steps: a lower limit of the time of `run`.
  void multiply_layers(const Batch& batch) { execute(kernel_.multiply_layers, batch); }

 private:
  using Work = void (*)(const Task&);

  // What a thread writes while it chooses ids. On lines of its own, see cache_line.h.
  struct alignas(kCacheLine) Workspace {
    explicit Workspace(const Network& network);
    Sampler sampler;
    LineVector<float> logits, exponentials;
  };

  void execute(Work work, const Batch& batch);
  void serve_as_helper(int thread);
  void work_as(int thread);
  void stop();

  const Kernel& kernel_;
  const Network network_;
  const int threads_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;
  std::vector<std::thread> helpers_;
  Barrier barrier_;

  // The caller writes these for each call. Between calls, the helpers poll calls_.
  alignas(kCacheLine) const Batch* batch_ = nullptr;
  Work work_ = nullptr;  // null tells the helpers to stop
  std::atomic<unsigned> calls_{0};  // the helpers wait for this number to change
};
