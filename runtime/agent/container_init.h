// The container's first process, from clone to execve.
//
// Thread rule: runs in the child of a clone without CLONE_VM. The agent is single-threaded and
// stays so; hence the child may allocate and use the whole C++ library. It reports every failure
// with its stage over the channel, and ends.
#pragma once

#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/agent/mounts.h"
#include "runtime/agent/namespaces.h"
#include "runtime/agent/process.h"
#include "runtime/agent/seccomp_profile.h"

namespace agent {

struct InitPlan {
  const oci::Spec& spec;
  const NamespacePlan& namespaces;
  const SeccompProgram* seccomp = nullptr;  // none
  const std::vector<MadeMount>& made_mounts;
  std::string container_id;
  const Process::ChildEnds& ends;
};

[[noreturn]] void RunContainerInit(const InitPlan& plan);

}  // namespace agent
