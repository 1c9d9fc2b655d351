// A cgroup v2 file of "key value" lines whose changes the kernel announces: cgroup.events,
// memory.events (Linux Documentation/admin-guide/cgroup-v2.rst, "Core Interface Files").
//
// Thread rule: bound to the event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

using KeyedNumbers = std::map<std::string, uint64_t>;

// Lines "key number"; others are passed over.
KeyedNumbers ParseKeyedNumbers(std::string_view text);

class CgroupEvents {
 public:
  // `on_change` is called from the loop after a change.
  static base::Result<std::unique_ptr<CgroupEvents>> Watch(base::EventLoop& loop,
                                                           const std::string& path,
                                                           std::function<void()> on_change);
  // 0 for a key that is not there, or a file that cannot be read any more.
  uint64_t Read(const std::string& key) const;

 private:
  explicit CgroupEvents(base::UniqueFd file) : file_(std::move(file)) {}
  base::UniqueFd file_;
  base::Watch watch_;
};

}  // namespace agent
