// Subprocess: the only place that starts programs. clone3(2) with a pidfd; between fork and exec
// only async-signal-safe calls run, and a failure there comes home through a pipe with its stage.
//
// Thread rule: Spawn is thread-safe. Ownership: destroying a Subprocess neither kills nor reaps;
// children end by EOF on a socket that their parent holds.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace base {

struct SubprocessOptions {
  std::string program;            // absolute path
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // "NAME=value"; nothing is inherited
  struct FdMapping {
    BorrowedFd fd;  // ours
    int target;     // number in the child
  };
  // Every other descriptor of the child is closed. 0, 1 and 2 are /dev/null unless mapped.
  std::vector<FdMapping> fds;
  uint64_t clone_flags = 0;  // CLONE_NEW*
  std::string cwd;           // empty: unchanged
  bool new_session = false;  // setsid(2)
  // Joined by the child; invalid: the caller's.
  BorrowedFd network_namespace;
};

class Subprocess {
 public:
  // Returns once the program runs; an exec that fails is an error here, naming the stage.
  static Result<Subprocess> Spawn(const SubprocessOptions& options);

  Subprocess() = default;
  pid_t pid() const { return pid_; }
  // Readable when the child has ended.
  BorrowedFd pidfd() const { return pidfd_; }
  bool valid() const { return pidfd_.valid(); }

  // Not an error if it has ended already.
  Result<void> Signal(int signal_number) const;
  // The wait status, once; nullopt while it runs (WNOHANG).
  Result<std::optional<int>> TryWait();
  // Blocks.
  Result<int> Wait();

 private:
  Subprocess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

// 0-255 as a shell would give it: the exit code, or 128 + signal.
int ExitCode(int wait_status);

}  // namespace base
