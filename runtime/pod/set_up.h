// The blocking part of creating a pod and its containers: configuration, spec, directories, mounts.
// Thread rule: reentrant, blocks; runs on the worker.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cgroup/systemd_scope.h"
#include "runtime/network/port_listener.h"
#include "runtime/pod/guest_spec.h"
#include "runtime/pod/hooks.h"
#include "runtime/pod/machine.h"
#include "runtime/pod/placement.h"
#include "runtime/pod/pod.h"
#include "runtime/pod/state_directory.h"
#include "runtime/storage/share.h"

namespace pod {

struct PodSetup {
  std::shared_ptr<StateDirectory> state;
  std::shared_ptr<Placement> placement;
  base::UniqueFd network_ns;
  std::optional<network::PortListener> ports;  // for port-forward
  MachineOptions machine;                      // without the callbacks
};

// Everything on the host that the machine of `first`, a pod's first container, needs. What was made
// before a failure is removed.
base::Result<PodSetup> SetUpPod(const PodOptions& options, const CreateRequest& first);

struct ContainerSetup {
  // Of a sandbox container: it has no files, and nothing of it but this goes to the guest.
  std::optional<PodSettings> pod_settings;
  std::string spec_json;                   // for the agent
  std::vector<storage::SharedTree> trees;  // for AttachToShare, once virtiofsd serves
  oci::CpuLimits cpu;
  std::string cgroups_path;                   // for the anchor
  std::optional<cgroup::SystemdScope> scope;  // of that path, if it is the container's own
  HookPlan hooks;
};

// The rootfs, mounted where containerd expects it.
std::string RootfsOf(const CreateRequest& request);

// Mounts and clones what `request` names. `pod_cgroup`: the pod's, resolved. `guest_pids`: as for
// MakeGuestSpec. `machine_mib`: its RAM. After a failure the caller tears down.
base::Result<ContainerSetup> SetUpContainer(const std::string& pod_cgroup,
                                            const CreateRequest& request,
                                            const std::map<pid_t, pid_t>& guest_pids,
                                            uint64_t machine_mib);

// Idempotent.
base::Result<void> TearDownContainer(const std::string& share, const std::string& container_id,
                                     const std::string& rootfs);

}  // namespace pod
