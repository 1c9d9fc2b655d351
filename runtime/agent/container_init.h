// The container's first process, from clone to execve.
//
// Thread rule: runs in the child of a clone without CLONE_VM. The agent is single-threaded and
// stays so; hence the child may allocate and use the whole C++ library. It reports every failure
// with its stage over the channel, and ends.
#pragma once

#include <string>

#include "oci/spec.h"
#include "runtime/agent/namespaces.h"
#include "runtime/agent/seccomp_profile.h"
#include "runtime/base/unique_fd.h"

namespace agent {

struct InitPlan {
  const oci::Spec& spec;
  const NamespacePlan& namespaces;
  const SeccompProgram* seccomp = nullptr;  // none
  std::string cgroup_directory;
  base::BorrowedFd channel;
  // For 0, 1 and 2; invalid: /dev/null. Unused with a terminal.
  base::BorrowedFd stdio[3];
};

[[noreturn]] void RunContainerInit(const InitPlan& plan);

}  // namespace agent
