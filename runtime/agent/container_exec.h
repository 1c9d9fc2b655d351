// A further process of a container, from clone to execve: it joins what the container's init has.
//
// Thread rule: as container_init.h.
#pragma once

#include "oci/spec.h"
#include "runtime/agent/process.h"
#include "runtime/agent/seccomp_profile.h"
#include "runtime/base/unique_fd.h"

namespace agent {

struct ExecPlan {
  const oci::Process& process;
  const SeccompProgram* seccomp = nullptr;        // the container's
  const oci::Personality* personality = nullptr;  // the container's
  base::BorrowedFd init;                          // a pidfd
  bool user_namespace = false;                    // init has one of its own
  const Process::ChildEnds& ends;
};

// The child is in the container's cgroup and pid namespace already.
[[noreturn]] void RunContainerExec(const ExecPlan& plan);

// What an exec's document leaves out and runc then takes from the container: capabilities, limits,
// oomScoreAdj.
oci::Process CompleteExec(oci::Process exec, const oci::Process& init);

}  // namespace agent
