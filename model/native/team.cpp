#include "team.h"

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
