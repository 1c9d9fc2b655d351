// The control groups of one pod on the host, cgroup v1 and v2 alike (layout: README.md of this
// room).
//
// The pod's cgroup, at the path that OCI cgroupsPath gives, holds the anchors; its two children
// hold the machine: `vcpu` the threads that run guest code, which carry the pod's CPU limit, and
// `vmm` everything else. What this host cannot do is an error if a limit that was asked for depends
// on it, else a note.
//
// Order of use: Create; AddVmmProcess once the vmm has made its VM (KVM_CREATE_VM comes before
// joining any cgroup) and before it touches guest memory; AddVcpuThread for each vCPU; SetCpuset;
// and SetCpuLimit once the guest is up. Thread rule: thread-bound; every call is a few file writes,
// but that Create, SetCpuLimit and Remove run a program of systemd's for a path in systemd's form.
// Ownership: destroying a PodCgroup leaves the cgroups; Remove takes them away.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cgroup/hierarchy.h"
#include "runtime/cgroup/systemd_scope.h"

namespace cgroup {

struct CpuLimit {
  int64_t quota_us = -1;  // <= 0: none
  uint64_t period_us = 100000;
  uint64_t burst_us = 0;
  // OCI shares, 2 … 262144; 0: unset.
  uint64_t shares = 0;
};

class Layout;

class PodCgroup {
 public:
  // `cgroups_path` as in linux.cgroupsPath ("/a/b", "slice:prefix:name", or empty for
  // /pinion/`pod_id`). What an earlier pod of that path left empty is used again.
  // kFailedPrecondition if no hierarchy is writable and `limits_wanted`, and if the path is
  // another's.
  static base::Result<PodCgroup> Create(const std::string& cgroups_path, const std::string& pod_id,
                                        bool limits_wanted,
                                        const Hierarchies& hierarchies = Hierarchies::Host());
  PodCgroup(PodCgroup&&) noexcept;
  PodCgroup& operator=(PodCgroup&&) noexcept;
  ~PodCgroup();

  // Moves a process, all threads of it, to `vmm`. Host pid.
  base::Result<void> AddVmmProcess(pid_t pid);
  // Moves one thread back to `vmm`: one that began in `vcpu`, as a vCPU's thread made it.
  base::Result<void> AddVmmThread(pid_t tid);
  // Moves one thread to `vcpu`; its process must have been added before.
  base::Result<void> AddVcpuThread(pid_t tid);
  // CPU lists in the format of cpuset(7); empty: what the pod's cgroup has. Where there is no
  // cpuset controller: a note, since the threads' masks hold without it. Before Linux 6.2 this
  // overwrites those masks: set and verify them afterwards.
  base::Result<void> SetVcpuCpuset(const std::string& cpus, const std::string& mems);
  base::Result<void> SetVmmCpuset(const std::string& cpus, const std::string& mems);
  // On the `vcpu` leaf: the limit is the guest's, not the vmm's.
  base::Result<void> SetCpuLimit(const CpuLimit& limit);
  // The scope of a container's own `cgroups_path`, if systemd is to make it: to be kept until the
  // container's anchor has been added. Reentrant, blocks.
  static base::Result<std::optional<SystemdScope>> StartScope(
      const std::string& cgroups_path, const Hierarchies& hierarchies = Hierarchies::Host());
  // A container's anchor, to the cgroup of `cgroups_path`, which is made if it is not there; the
  // pod's own path is the common case.
  base::Result<void> AddAnchor(pid_t pid, const std::string& cgroups_path);

  // Kills what is still inside (cgroup.kill where there is one), removes leaves and the pod's
  // cgroup and what AddAnchor made; parents stay. Waits, a second at most, for dying processes, and
  // for systemd to end the pod's scope. Not an error if there is nothing. Idempotent.
  base::Result<void> Remove();
  // The same by a path as in Create, or as PathOnRecord has it: for a pod whose shim is gone, and
  // for a container's own.
  static base::Result<void> RemoveAt(const std::string& cgroups_path, const std::string& pod_id,
                                     const Hierarchies& hierarchies = Hierarchies::Host());

  // What could not be had, one sentence each.
  const std::vector<std::string>& notes() const { return notes_; }
  // Absolute directories that Create makes, children first: for a record from which a later process
  // cleans up. Members of the first ones must be gone before these can be removed.
  std::vector<std::string> Directories() const;
  // Below the root of each hierarchy, e.g. "/default/c1".
  const std::string& path() const { return path_; }

 private:
  PodCgroup(std::unique_ptr<Layout> layout, std::string path);

  base::Result<void> MakeGroups(const std::string& cgroups_path, const Hierarchies& hierarchies);

  std::unique_ptr<Layout> layout_;  // null: no writable cgroups
  std::string path_;
  std::optional<ScopeUnit> scope_unit_;  // systemd has made the pod's cgroup
  std::optional<SystemdScope> scope_;    // until the vmm is in it
  std::set<std::string> anchor_paths_;   // made by AddAnchor, other than path_
  std::vector<std::string> notes_;
};

}  // namespace cgroup
