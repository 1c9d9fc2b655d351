#include "runtime/base/event_loop.h"

#include <sys/eventfd.h>

#include <array>
#include <climits>

namespace base {
namespace {

using Clock = std::chrono::steady_clock;
constexpr uint64_t kWakeupId = 0;

}  // namespace

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this == &other) return *this;
  Cancel();
  loop_ = std::exchange(other.loop_, nullptr);
  id_ = other.id_;
  return *this;
}

Result<void> Watch::SetEvents(uint32_t events) {
  if (loop_ == nullptr) return MakeError(Code::kFailedPrecondition, "watch is not active");
  epoll_event event{};
  event.events = events;
  event.data.u64 = id_;
  const int fd = loop_->entries_.at(id_)->fd;
  if (epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return ErrnoError("epoll_ctl(MOD, {})", fd);
  }
  return Ok();
}

void Watch::Cancel() {
  if (loop_ == nullptr) return;
  const auto entry = loop_->entries_.find(id_);
  if (entry != loop_->entries_.end()) {
    // Fails with EBADF or ENOENT if the owner closed the fd first: then epoll forgot it already.
    epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_DEL, entry->second->fd, nullptr);
    loop_->entries_.erase(entry);
  }
  loop_ = nullptr;
}

Timer& Timer::operator=(Timer&& other) noexcept {
  if (this == &other) return *this;
  Cancel();
  loop_ = std::exchange(other.loop_, nullptr);
  key_ = other.key_;
  return *this;
}

void Timer::Cancel() {
  if (loop_ != nullptr) loop_->timers_.erase(key_);
  loop_ = nullptr;
}

bool Timer::active() const { return loop_ != nullptr && loop_->timers_.count(key_) != 0; }

Result<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return ErrnoError("epoll_create1");
  UniqueFd wakeup(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup) return ErrnoError("eventfd");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeupId;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wakeup.get(), &event) != 0) {
    return ErrnoError("epoll_ctl(ADD, eventfd)");
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(wakeup)));
}

EventLoop::EventLoop(UniqueFd epoll, UniqueFd wakeup)
    : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}

EventLoop::~EventLoop() = default;

Result<Watch> EventLoop::WatchFd(BorrowedFd fd, uint32_t events, FdCallback callback) {
  const uint64_t id = next_id_++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) {
    return ErrnoError("epoll_ctl(ADD, {})", fd.get());
  }
  entries_.emplace(id, std::make_shared<Entry>(Entry{fd.get(), std::move(callback)}));
  return Watch(this, id);
}

Timer EventLoop::After(std::chrono::nanoseconds delay, std::function<void()> callback) {
  // A year is as good as never, and now + the longest delay that there is would be in the past.
  constexpr std::chrono::hours kLongest{24 * 365};
  const Timer::Key key{Clock::now() + std::min<std::chrono::nanoseconds>(delay, kLongest),
                       next_id_++};
  timers_.emplace(key, std::move(callback));
  return Timer(this, key);
}

void EventLoop::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  eventfd_write(wakeup_.get(), 1);
}

void EventLoop::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  eventfd_write(wakeup_.get(), 1);
}

Result<void> EventLoop::Run() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(stop_, false)) return Ok();
    }
    TRY(RunOnce(std::chrono::milliseconds(-1)));
  }
}

Result<void> EventLoop::RunOnce(std::chrono::milliseconds timeout) {
  std::array<epoll_event, 64> events;
  const int count =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), TimeoutMs(timeout));
  if (count < 0 && errno != EINTR) return ErrnoError("epoll_wait");
  for (int i = 0; i < count; ++i) {
    const epoll_event event = events[static_cast<size_t>(i)];
    if (event.data.u64 == kWakeupId) {
      eventfd_t ignored;
      eventfd_read(wakeup_.get(), &ignored);
      continue;
    }
    // A copy: epoll_event is packed, so a reference into it would be misaligned.
    const uint64_t id = event.data.u64;
    const auto found = entries_.find(id);
    if (found == entries_.end()) continue;  // cancelled by an earlier callback of this round
    // A reference of our own: the callback may destroy its own Watch.
    const std::shared_ptr<Entry> entry = found->second;
    entry->callback(event.events);
  }
  RunTimers();
  RunPosted();
  return Ok();
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (auto& task : tasks) task();
}

void EventLoop::RunTimers() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    node.mapped()();
  }
}

int EventLoop::TimeoutMs(std::chrono::milliseconds limit) const {
  int64_t wait = limit.count() < 0 ? -1 : limit.count();
  if (!timers_.empty()) {
    const auto left = timers_.begin()->first.first - Clock::now();
    // Rounded up, so that the loop does not spin through the last millisecond.
    int64_t left_ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    if (left_ms < 0) left_ms = 0;
    if (wait < 0 || left_ms < wait) wait = left_ms;
  }
  return wait > INT_MAX ? INT_MAX : static_cast<int>(wait);
}

}  // namespace base
