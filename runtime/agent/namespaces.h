// Which namespaces a container gets. OCI runtime-spec 1.2, config-linux.md "Namespaces".
// Thread rule: pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"

namespace agent {

struct NamespacePlan {
  // CLONE_NEW* for clone3. A mount namespace always: without one there is no pivot_root.
  uint64_t clone_flags = 0;
  // Of another container of the pod, as "/proc/PID/ns/pid" of the guest: CRI's
  // NamespaceMode_TARGET. Empty: a new one, or the guest's own.
  std::string pid_namespace;
  // The spec lists a uts namespace, new or of the pod: then it may name the host.
  bool owns_hostname = false;

  bool HasNew(uint64_t flag) const { return (clone_flags & flag) != 0; }
};

// A namespace with a path belongs to the pod, on the host's side of the line; in the guest that is
// the machine's own one for ipc, uts and network; for pid it may be the path of a process
// in the guest, /proc/1 among them. A cgroup namespace of its own has every container, whatever the
// spec says (container_init.cc). kUnimplemented for a path of another
// type, kInvalidArgument for an unknown type or one listed twice.
base::Result<NamespacePlan> PlanNamespaces(const std::vector<oci::Namespace>& namespaces);

}  // namespace agent
