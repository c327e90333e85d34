// The threads that step a decoder's streams: the caller's and its helpers.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "barrier.h"
#include "kernel.h"

class Team {
 public:
  // Throws std::bad_alloc or std::system_error; nothing is allocated after.
  Team(const Kernel& kernel, const Network& network, int threads);
  ~Team();
  Team(const Team&) = delete;

  // All of a batch's steps. Every thread has a part of each layer's weights, so that these stay in
  // its core's own cache if they fit, and meets the others after each layer.
  void run(const Batch& batch) { start(kernel_.run, batch); }

  // The layers' products of so many steps, and nothing else, to measure what `run` could at best.
  void multiply(const Batch& batch) { start(kernel_.multiply, batch); }

 private:
  using Work = void (*)(const Task&);

  struct Workspace {
    explicit Workspace(const Network& network);
    Sampler sampler;
    std::vector<float> logits, weights;
  };

  void start(Work work, const Batch& batch);
  void help(int part);
  void take_part(int part);
  void end();

  const Kernel& kernel_;
  const Network network_;
  const int threads_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;
  std::vector<std::thread> helpers_;
  Barrier barrier_;
  const Batch* batch_ = nullptr;
  Work work_ = nullptr;  // null to end
  std::atomic<unsigned> batches_{0};
};
