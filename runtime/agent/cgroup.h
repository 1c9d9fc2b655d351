// Cgroup: a container's cgroup v2 directory in the guest, /sys/fs/cgroup/pinion/<id>.
//
// Thread rule: bound to the agent's only thread. Ownership: owns the directory; Remove must be
// called (a destructor could not wait for it to empty).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

struct CgroupSetting {
  std::string file;
  std::string value;
  // What the kernel may not have (swap accounting, a controller): told, not an error.
  bool optional = false;
};

// Limits in the words of cgroup v2. OCI runtime-spec 1.2, config-linux.md "Control groups".
// Device rules are not here (device_rules.h). Cpusets name CPUs of the guest by now.
// kInvalidArgument for a value out of its range or a `unified` name that is no plain file name.
base::Result<std::vector<CgroupSetting>> CgroupSettings(const oci::Resources& resources);

// An update with what it leaves out of pairs that the kernel takes as one, from what was applied
// before: a period or quota of the other, the memory.limit that memory.swap includes. A zero is
// "not named", pids.limit's too.
oci::Resources CompleteUpdate(oci::Resources update, const oci::Resources& applied);

class Cgroup {
 public:
  // `parent` is made, with all controllers for its children, when it is missing. `id` is checked.
  static base::Result<Cgroup> Create(const std::string& parent, const std::string& id);

  Cgroup(Cgroup&&) = default;
  Cgroup& operator=(Cgroup&&) = default;

  // The directory and what the kernel lets be delegated (cgroups(7), "Cgroup delegation").
  base::Result<void> GiveTo(uid_t owner);
  // All but the device rules.
  base::Result<void> Apply(const oci::Resources& resources);
  // Lists in the guest's numbers; empty: no restriction.
  base::Result<void> SetCpuset(const std::string& cpus, const std::string& mems);
  // Without any rule, what runc then allows.
  base::Result<void> ApplyDevices(const std::vector<oci::DeviceRule>& rules);
  const std::string& path() const { return path_; }
  // For CLONE_INTO_CGROUP.
  base::BorrowedFd fd() const { return fd_; }
  // The cgroup below this one that process `pid` has gone to. kFailedPrecondition if it has not.
  base::Result<base::UniqueFd> OpenThatOf(pid_t pid) const;
  // SIGKILL to all, descendants included.
  base::Result<void> Kill();
  // Asks for it; cgroup.events says when it is so.
  base::Result<void> Freeze(bool frozen);
  // Of the whole subtree, in the guest's numbering.
  base::Result<std::vector<pid_t>> Pids() const;
  // kFailedPrecondition while processes are left.
  base::Result<void> Remove();

 private:
  Cgroup(std::string path, base::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  base::UniqueFd fd_;
  base::UniqueFd device_program_;  // none: all devices are allowed
};

}  // namespace agent
