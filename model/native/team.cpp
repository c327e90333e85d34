#include "team.h"

void arrive_and_wait(Barrier& barrier) { barrier.arrive_and_wait(); }

Team::Workspace::Workspace(const Network& network)
    : sampler(network.vocabulary_size),
      logits(std::size_t(kMaxBlock) * network.output->tiles * kTileOutputs),
      exponentials(std::size_t(network.output->tiles) * kTileOutputs) {}

Team::Team(const Kernel& kernel, const Network& network, int threads)
    : kernel_(kernel), network_(network), threads_(threads), barrier_(threads) {
  for (int thread = 0; thread < threads; ++thread)
    workspaces_.push_back(std::make_unique<Workspace>(network));
  helpers_.reserve(threads - 1);
  try {
    for (int thread = 1; thread < threads; ++thread)
      helpers_.emplace_back([this, thread] { serve_as_helper(thread); });
  } catch (...) {
    stop();
    throw;
  }
}

Team::~Team() { stop(); }

void Team::execute(Work work, const Batch& batch) {
  batch_ = &batch;
  work_ = work;
  advance_and_wake(calls_);
  work_as(0);
}

void Team::serve_as_helper(int thread) {
  for (unsigned calls = 0;; ++calls) {
    wait_for_change(calls_, calls);
    if (!work_) return;
    work_as(thread);
  }
}

// Every kind of work ends at the barrier. After it, no thread reads the batch any more.
void Team::work_as(int thread) {
  Workspace& own = *workspaces_[thread];
  work_({network_, *batch_, thread, threads_, barrier_, own.sampler, own.logits.data(),
         workspaces_[0]->logits.data(), own.exponentials.data()});
}

void Team::stop() {
  work_ = nullptr;
  advance_and_wake(calls_);
  for (auto& helper : helpers_) helper.join();
}
