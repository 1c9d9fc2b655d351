#include "runtime/cgroup/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <string_view>
#include <thread>

#include "runtime/base/file.h"

namespace cgroup {
namespace {

constexpr size_t kMaxListBytes = 4 << 20;
constexpr int kRemoveAttempts = 100;
constexpr std::chrono::milliseconds kRemovePause{10};

}  // namespace

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

base::Result<void> MakeGroup(const std::string& root, const std::string& path,
                             const PrepareLevel& prepare) {
  for (size_t start = 0; start < path.size();) {
    const size_t slash = path.find('/', start + 1);
    const std::string parent = root + path.substr(0, start);
    const std::string directory = root + path.substr(0, slash);
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      return base::ErrnoError("mkdir {}", directory);
    }
    TRY(prepare(directory, parent));
    start = slash == std::string::npos ? path.size() : slash;
  }
  return base::Ok();
}

base::Result<bool> IsPopulated(const std::string& directory) {
  return !TRY(base::ReadFile(directory + "/cgroup.procs", kMaxListBytes)).empty();
}

base::Result<void> WritePid(const std::string& directory, std::string_view file, pid_t pid) {
  auto written = base::WriteFile(fmt::format("{}/{}", directory, file), std::to_string(pid));
  if (written || written.error().error_number() == ESRCH) return base::Ok();
  return written;
}

void KillMembers(const std::string& directory) {
  const auto text = base::ReadFile(directory + "/cgroup.procs", kMaxListBytes);
  if (!text) return;
  const char* at = text->data();
  const char* const end = at + text->size();
  while (at < end) {
    pid_t pid = 0;
    const auto [next, error] = std::from_chars(at, end, pid);
    if (error != std::errc()) return;
    if (pid > 1 && pid != getpid()) kill(pid, SIGKILL);
    at = next + 1;
  }
}

base::Result<void> RemoveGroup(const std::string& directory) {
  for (int attempt = 0; attempt < kRemoveAttempts; ++attempt) {
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return base::Ok();
    if (errno != EBUSY) break;
    std::this_thread::sleep_for(kRemovePause);
  }
  return base::ErrnoError("rmdir {}", directory);
}

}  // namespace cgroup
