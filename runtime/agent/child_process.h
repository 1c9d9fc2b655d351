// What every process of a container goes through between clone and execve, be it an init or an
// exec.
//
// Thread rule: runs in the child of a clone without CLONE_VM. The agent is single-threaded and
// stays so; hence the child may allocate and use the whole C++ library.
#pragma once

#include <functional>
#include <vector>

#include "oci/spec.h"
#include "runtime/agent/process.h"
#include "runtime/agent/seccomp_profile.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

inline constexpr int kKeptFd = 4;  // the first of them

struct ChildPlan {
  const oci::Process& process;
  const SeccompProgram* seccomp = nullptr;        // none
  const oci::Personality* personality = nullptr;  // none
  const Process::ChildEnds& ends;
  std::vector<base::BorrowedFd> keep = {};  // become kKeptFd and so on, until execve
  // Runs once Start has come; an error of its is one of Start.
  std::function<base::Result<void>()> before_execve = {};
};

// From the clone to execve, or to the report of why not: the channel and 0 to 2 in place, all else
// closed; once the agent says so `set_up`, which puts the process into its container's root and
// returns its terminal, if it has one; capabilities and user; the look-up of its program;
// and once the agent says so again, execve.
[[noreturn]] void RunChild(const ChildPlan& plan,
                           const std::function<base::Result<base::UniqueFd>()>& set_up);

// The caller's own; while /proc is the agent's still, and the caller's file there its own: whatever
// image and mounts put at /proc is not asked.
base::Result<void> SetOomScoreAdj(int score);

}  // namespace agent
