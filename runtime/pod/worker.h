// A small pool of threads for what blocks: mounts, /proc, cgroups, opening files.
//
// Thread rule: reactor-bound; jobs run on the pool's threads, `done` on the reactor. Destroying the
// worker waits for jobs that run and drops the rest; no `done` is called after that.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/base/event_loop.h"

namespace pod {

class Worker {
 public:
  explicit Worker(base::EventLoop& loop);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Run(std::function<void()> job, std::function<void()> done);

  // `job` gives a value, `done` takes it.
  template <class T>
  void Compute(std::function<T()> job, std::function<void(T)> done) {
    auto result = std::make_shared<std::optional<T>>();  // shared: std::function copies
    Run([result, job = std::move(job)] { result->emplace(job()); },
        [result, done = std::move(done)] { done(std::move(**result)); });
  }

 private:
  struct Task {
    std::function<void()> job;
    std::function<void()> done;
  };
  void RunTasks();

  base::EventLoop& loop_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // reactor only
  std::mutex mutex_;
  std::condition_variable wakeup_;
  std::deque<Task> tasks_;  // guarded by mutex_
  bool stop_ = false;       // guarded by mutex_
  size_t idle_ = 0;         // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace pod
