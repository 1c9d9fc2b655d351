#include "runtime/agent/cgroup_events.h"

#include <fcntl.h>
#include <unistd.h>

#include <sstream>
#include <utility>

#include "runtime/base/file.h"

namespace agent {

KeyedNumbers ParseKeyedNumbers(std::string_view text) {
  KeyedNumbers numbers;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    uint64_t value = 0;
    if (words >> key >> value) numbers[key] = value;
  }
  return numbers;
}

base::Result<std::unique_ptr<CgroupEvents>> CgroupEvents::Watch(base::EventLoop& loop,
                                                                const std::string& path,
                                                                std::function<void()> on_change) {
  base::UniqueFd file = TRY(base::Open(path, O_RDONLY));
  std::unique_ptr<CgroupEvents> events(new CgroupEvents(std::move(file)));
  // Reading is what arms the announcement.
  static_cast<void>(events->Read(""));
  events->watch_ = TRY(loop.WatchFd(
      events->file_, EPOLLPRI, [raw = events.get(), on_change = std::move(on_change)](uint32_t) {
        static_cast<void>(raw->Read(""));
        const auto report = on_change;  // it may destroy this
        report();
      }));
  return events;
}

uint64_t CgroupEvents::Read(const std::string& key) const {
  char text[512];
  const ssize_t size = pread(file_.get(), text, sizeof text, 0);
  if (size <= 0) return 0;
  const KeyedNumbers numbers = ParseKeyedNumbers({text, static_cast<size_t>(size)});
  const auto found = numbers.find(key);
  return found == numbers.end() ? 0 : found->second;
}

}  // namespace agent
