#include "runtime/cpu/pin_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace cpu {

PinWatch::PinWatch(std::string directory, std::function<void()> changed)
    : directory_(std::move(directory)),
      name_(directory_.substr(directory_.rfind('/') + 1)),
      changed_(std::move(changed)) {}

base::Result<std::unique_ptr<PinWatch>> PinWatch::Create(base::EventLoop& loop,
                                                         const std::string& directory,
                                                         std::function<void()> changed) {
  std::unique_ptr<PinWatch> watch(new PinWatch(directory, std::move(changed)));
  TRY(watch->Begin(loop));
  return watch;
}

base::Result<void> PinWatch::Begin(base::EventLoop& loop) {
  inotify_ = base::UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_) return base::ErrnoError("inotify_init1");
  const std::string parent = directory_.substr(0, directory_.rfind('/'));
  parent_ = inotify_add_watch(inotify_.get(), parent.c_str(), IN_CREATE | IN_ONLYDIR);
  if (parent_ < 0) return base::ErrnoError("watch {}", parent);
  WatchDirectory();
  watch_ = TRY(loop.WatchFd(inotify_, EPOLLIN, [this](uint32_t) { OnEvents(); }));
  return base::Ok();
}

// Not there: the parent tells when it comes. There already: the watch stays what it was.
void PinWatch::WatchDirectory() {
  (void)inotify_add_watch(inotify_.get(), directory_.c_str(),
                          IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR);
}

void PinWatch::OnEvents() {
  alignas(inotify_event) char buffer[16384];
  bool ours = false;
  for (;;) {
    const ssize_t size = read(inotify_.get(), buffer, sizeof buffer);
    if (size <= 0) break;
    for (const char* at = buffer; at < buffer + size;) {
      inotify_event event;
      std::memcpy(&event, at, sizeof event);
      const char* const name = at + sizeof event;
      // An overflow (wd -1) may have swallowed one of ours.
      ours = ours || event.wd != parent_ || (event.len > 0 && name_ == name);
      at = name + event.len;
    }
  }
  if (!ours) return;
  // Before the callback reads: a change that comes later is then an event of its own.
  WatchDirectory();
  changed_();
}

}  // namespace cpu
