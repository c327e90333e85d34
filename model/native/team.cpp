#include "team.h"

void meet(Barrier& barrier) { barrier.meet(); }

Team::Workspace::Workspace(const Network& network)
    : sampler(network.characters),
      logits(std::size_t(kMostBlock) * network.output->tiles * kOutputs),
      weights(std::size_t(network.output->tiles) * kOutputs) {}

Team::Team(const Kernel& kernel, const Network& network, int threads)
    : kernel_(kernel), network_(network), threads_(threads), barrier_(threads) {
  for (int part = 0; part < threads; ++part)
    workspaces_.push_back(std::make_unique<Workspace>(network));
  helpers_.reserve(threads - 1);
  try {
    for (int part = 1; part < threads; ++part) helpers_.emplace_back([this, part] { help(part); });
  } catch (...) {
    end();
    throw;
  }
}

Team::~Team() { end(); }

void Team::start(Work work, const Batch& batch) {
  batch_ = &batch;
  work_ = work;
  batches_.fetch_add(1, std::memory_order_release);
  batches_.notify_all();
  take_part(0);
}

void Team::help(int part) {
  for (unsigned batches = 0;; ++batches) {
    wait_for_change(batches_, batches);
    if (!work_) return;
    take_part(part);
  }
}

// Ends with all threads having met, so that none of them reads the batch any more.
void Team::take_part(int part) {
  Workspace& own = *workspaces_[part];
  work_({network_, *batch_, part, threads_, barrier_, own.sampler, own.logits.data(),
         workspaces_[0]->logits.data(), own.weights.data()});
}

void Team::end() {
  work_ = nullptr;
  batches_.fetch_add(1, std::memory_order_release);
  batches_.notify_all();
  for (auto& helper : helpers_) helper.join();
}
