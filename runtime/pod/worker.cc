#include "runtime/pod/worker.h"

namespace pod {
Worker::Worker(base::EventLoop& loop) : loop_(loop) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    tasks_.clear();
  }
  wakeup_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Worker::Run(std::function<void()> job, std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back({std::move(job), std::move(done)});
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { RunTasks(); });
  wakeup_.notify_one();
}

void Worker::RunTasks() {
  std::unique_lock lock(mutex_);
  while (true) {
    wakeup_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
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
