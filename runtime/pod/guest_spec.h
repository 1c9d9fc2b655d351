// config.json as the guest is to see it: paths of the host become paths below the share.
//
// Thread rule: reentrant. MakeGuestSpec looks at what mounts name (stat), and so may block.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/storage/bind.h"

namespace pod {

// A host file that a container mounts: to be shared as <share>/<container>/mounts/<index>.
struct SharedMount {
  size_t index = 0;
  size_t of_spec = 0;  // its place among the guest spec's mounts
  std::string source;  // on the host, absolute
  storage::CloneOptions options;
};

// What a pod's sandbox container (CRI's "pause") asks of the pod. It has no process in the guest:
// the machine itself holds the namespaces that pause would.
struct PodSettings {
  std::string hostname;
  std::string domainname;
  std::map<std::string, std::string> sysctl;
};

// What a container is to its pod, by CRI's annotation: kAlone without one.
enum class ContainerKind { kAlone, kSandbox, kMember };
base::Result<ContainerKind> KindOf(const oci::Spec& spec);

struct GuestSpec {
  oci::Spec spec;
  std::vector<SharedMount> mounts;
  std::vector<std::string> notes;  // what was left out, a sentence each
};

// kInvalidArgument for a namespace of another machine; kUnimplemented for what leads into the
// host's kernel: sockets, fifos, devices. `bundle`: where relative sources begin. `guest_pids`: of
// the pod's other containers, by the pid on the host, so that a pid namespace can be one's of them
// (CRI's NamespaceMode_TARGET).
base::Result<GuestSpec> MakeGuestSpec(const oci::Spec& spec, const std::string& container_id,
                                      const std::string& bundle,
                                      const std::map<pid_t, pid_t>& guest_pids = {});

// config.json of `bundle`.
base::Result<oci::Spec> LoadSpec(const std::string& bundle);

// The host path of the root when Create brought no rootfs mounts: root.path, in the bundle if it is
// relative (OCI runtime-spec 1.2, config.md "Root").
base::Result<std::string> HostRootPath(const oci::Spec& spec, const std::string& bundle);

}  // namespace pod
