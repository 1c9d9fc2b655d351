#include "runtime/pod/worker.h"

namespace pod {
namespace {

// More would only queue up behind the same kernel locks (the mount namespace's, above all).
constexpr size_t kMaxThreads = 2;

}  // namespace

Worker::Worker(base::EventLoop& loop) : loop_(loop) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    tasks_.clear();
  }
  wakeup_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Worker::Run(std::function<void()> job, std::function<void()> done) {
  bool spawn = false;
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back({std::move(job), std::move(done)});
    spawn = idle_ < tasks_.size() && threads_.size() < kMaxThreads;
  }
  // Threads start when they are first needed: most shims sit idle for their whole life.
  if (spawn) threads_.emplace_back([this] { RunTasks(); });
  wakeup_.notify_one();
}

void Worker::RunTasks() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    wakeup_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
    --idle_;
    if (stop_) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task.job();
    // `alive` is read on the reactor, where it is also ended.
    loop_.Post([alive = std::weak_ptr(alive_), done = std::move(task.done)] {
      if (!alive.expired()) done();
    });
    task = {};
    lock.lock();
  }
}

}  // namespace pod
