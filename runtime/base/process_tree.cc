#include "runtime/base/process_tree.h"

#include <fmt/core.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>

#include "runtime/base/file.h"

namespace base {

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> pids;
  std::error_code gone;
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  for (std::filesystem::directory_iterator task(tasks, gone), end; !gone && task != end;
       task.increment(gone)) {
    const Result<std::string> text = ReadFile(task->path().string() + "/children");
    if (!text) continue;
    const char* at = text->data();
    const char* const stop = at + text->size();
    while (at < stop) {
      pid_t child = 0;
      const auto [next, error] = std::from_chars(at, stop, child);
      if (error == std::errc()) pids.push_back(child);
      at = next + 1;
    }
  }
  return pids;
}

}  // namespace base
