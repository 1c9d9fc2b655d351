// What every process of a container goes through between clone and execve, be it an init or an
// exec.
//
// Thread rule: runs in the child of a clone without CLONE_VM. The agent is single-threaded and
// stays so; hence the child may allocate and use the whole C++ library.
#pragma once

#include <functional>
#include <string_view>

#include "oci/spec.h"
#include "runtime/agent/process.h"
#include "runtime/agent/seccomp_profile.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

inline constexpr int kKeptFd = 4;

struct ChildPlan {
  const oci::Process& process;
  const SeccompProgram* seccomp = nullptr;        // none
  const oci::Personality* personality = nullptr;  // none
  const Process::ChildEnds& ends;
  base::BorrowedFd keep = {};  // becomes kKeptFd, until execve
  // Runs once Start has come; an error of its is one of Start.
  std::function<base::Result<void>()> before_execve = {};
};

// From the clone to execve, or to the report of why not: the channel and 0 to 2 in place, all else
// closed; once the agent says so `set_up`, which puts the process into its container's root and
// returns its terminal, if it has one; limits, capabilities and user; the look-up of its program;
// and once the agent says so again, execve.
[[noreturn]] void RunChild(const ChildPlan& plan,
                           const std::function<base::Result<base::UniqueFd>()>& set_up);

// A procfs of our own to write to: whatever image and mounts have put at /proc is not asked. `path`
// is looked up below `directory`, which it cannot leave.
base::Result<void> WriteProc(base::BorrowedFd directory, const std::string& path,
                             std::string_view value);
base::Result<void> SetOomScoreAdj(base::BorrowedFd proc, int score);

}  // namespace agent
