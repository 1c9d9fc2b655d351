// EventLoop: one epoll(7) loop, the reactor of each of our programs.
//
// Thread rule: bound to the thread that calls Run, but for Post and Stop, which are thread-safe.
// Ownership: a Watch or Timer must not outlive its loop; destroying one, also from inside any
// callback, guarantees that its callback is not called again. The loop never owns a watched fd.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace base {

class EventLoop;

// Interest in a descriptor, for as long as it lives.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept { *this = std::move(other); }
  Watch& operator=(Watch&& other) noexcept;
  ~Watch() { Cancel(); }

  // Replaces the EPOLL* set waited for; 0 keeps the watch but silences it (but for EPOLLERR and
  // EPOLLHUP, which epoll always reports).
  Result<void> SetEvents(uint32_t events);
  void Cancel();
  bool active() const { return loop_ != nullptr; }

 private:
  friend class EventLoop;
  Watch(EventLoop* loop, uint64_t id) : loop_(loop), id_(id) {}
  EventLoop* loop_ = nullptr;
  uint64_t id_ = 0;
};

// One call in the future, unless cancelled before.
class Timer {
 public:
  Timer() = default;
  Timer(Timer&& other) noexcept { *this = std::move(other); }
  Timer& operator=(Timer&& other) noexcept;
  ~Timer() { Cancel(); }
  void Cancel();
  bool active() const;

 private:
  friend class EventLoop;
  using Key = std::pair<std::chrono::steady_clock::time_point, uint64_t>;
  Timer(EventLoop* loop, Key key) : loop_(loop), key_(key) {}
  EventLoop* loop_ = nullptr;
  Key key_;
};

class EventLoop {
 public:
  using FdCallback = std::function<void(uint32_t epoll_events)>;

  static Result<std::unique_ptr<EventLoop>> Create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Dispatches until Stop. Level-triggered.
  Result<void> Run();
  // Dispatches what is ready, waiting at most `timeout` (negative: for ever) for a first event.
  Result<void> RunOnce(std::chrono::milliseconds timeout);
  void Stop();

  // Runs `task` on the loop's thread, in order of posting.
  void Post(std::function<void()> task);

  Result<Watch> WatchFd(BorrowedFd fd, uint32_t events, FdCallback callback);
  Timer After(std::chrono::nanoseconds delay, std::function<void()> callback);

 private:
  friend class Watch;
  friend class Timer;
  struct Entry {
    int fd;
    FdCallback callback;
  };

  EventLoop(UniqueFd epoll, UniqueFd wakeup);
  void RunPosted();
  void RunTimers();
  int TimeoutMs(std::chrono::milliseconds limit) const;

  UniqueFd epoll_;
  UniqueFd wakeup_;
  uint64_t next_id_ = 1;  // 0 is the wakeup eventfd
  std::unordered_map<uint64_t, std::shared_ptr<Entry>> entries_;
  std::map<Timer::Key, std::function<void()>> timers_;

  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  bool stop_ = false;                          // guarded by mutex_
};

}  // namespace base
