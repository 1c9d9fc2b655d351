#include "runtime/cgroup/files.h"

#include <sys/stat.h>
#include <sys/xattr.h>
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
// How often a parent may vanish between its mkdir and its child's.
constexpr int kMakeAttempts = 10;
// On the parents that we made, so that the last pod below one takes it away and nobody else's is
// touched. Both cgroup versions keep trusted attributes.
constexpr const char* kMadeByPinion = "trusted.pinion";

// One pass over the levels of `path`; kNotFound if a parent was removed meanwhile.
base::Result<void> MakeLevels(const std::string& root, const std::string& path,
                              const PrepareLevel& prepare) {
  for (size_t start = 0; start < path.size();) {
    const size_t slash = path.find('/', start + 1);
    const std::string parent = root + path.substr(0, start);
    const std::string directory = root + path.substr(0, slash);
    if (mkdir(directory.c_str(), 0755) == 0) {
      (void)setxattr(directory.c_str(), kMadeByPinion, "1", 1, 0);
    } else if (errno != EEXIST) {
      return base::ErrnoError("mkdir {}", directory);
    }
    TRY(prepare(directory, parent));
    start = slash == std::string::npos ? path.size() : slash;
  }
  return base::Ok();
}

}  // namespace

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

base::Result<void> MakeGroup(const std::string& root, const std::string& path,
                             const PrepareLevel& prepare) {
  for (int attempt = 1;; ++attempt) {
    base::Result<void> made = MakeLevels(root, path, prepare);
    if (made || made.error().error_number() != ENOENT || attempt == kMakeAttempts) return made;
  }
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

void RemoveEmptyParents(const std::string& root, std::string path) {
  while (true) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0) return;
    path.resize(slash);
    const std::string directory = root + path;
    if (getxattr(directory.c_str(), kMadeByPinion, nullptr, 0) < 0) return;
    if (rmdir(directory.c_str()) != 0) return;  // EBUSY, ENOTEMPTY: somebody is in it
  }
}

}  // namespace cgroup
