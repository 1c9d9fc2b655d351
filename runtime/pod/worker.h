// A thread for what blocks: mounts, /proc, cgroups. One: jobs run in the order they were given, so
// that removing a pod comes after whatever still makes a part of it.
//
// Thread rule: reactor-bound; jobs run on the worker's thread, `done` on the reactor. Destroying
// the worker waits for the job that runs and drops the rest; no `done` is called after that.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

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
  std::thread thread_;
};

}  // namespace pod
