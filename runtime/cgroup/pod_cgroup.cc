#include "runtime/cgroup/pod_cgroup.h"

#include <utility>

#include "runtime/cgroup/cgroup_path.h"
#include "runtime/cgroup/layout.h"
#include "runtime/cpu/weight.h"

namespace cgroup {
namespace {

std::unique_ptr<Layout> MakeLayout(const Hierarchies& hierarchies) {
  if (const Hierarchy* v2 = hierarchies.V2()) return MakeLayoutV2(*v2);
  if (hierarchies.V1("cpu") || hierarchies.V1("cpuset")) return MakeLayoutV1(hierarchies);
  return nullptr;
}

// The scope that systemd has or is to make for the path, if it is its own.
std::optional<ScopeUnit> ScopeOfHost(const std::string& cgroups_path,
                                     const Hierarchies& hierarchies) {
  // A scope of v1 is a group of systemd's own hierarchy, in which the machine is not.
  if (!hierarchies.V2() || !HostRunsSystemd()) return std::nullopt;
  return SystemdScopeOf(cgroups_path);
}

}  // namespace

PodCgroup::PodCgroup(std::unique_ptr<Layout> layout, std::string path)
    : layout_(std::move(layout)), path_(std::move(path)) {}
PodCgroup::PodCgroup(PodCgroup&&) noexcept = default;
PodCgroup& PodCgroup::operator=(PodCgroup&&) noexcept = default;
PodCgroup::~PodCgroup() = default;

base::Result<PodCgroup> PodCgroup::Create(const std::string& cgroups_path,
                                          const std::string& pod_id, bool limits_wanted,
                                          const Hierarchies& hierarchies) {
  PodCgroup cgroup(MakeLayout(hierarchies), TRY(ResolvePath(cgroups_path, pod_id)));
  if (!cgroup.layout_) {
    const std::string found = hierarchies.Describe();
    if (limits_wanted) {
      return base::MakeError(
          base::Code::kFailedPrecondition,
          "CPU limits were asked for, but no cgroup hierarchy with cpu or cpuset "
          "can be written (found: {})",
          found);
    }
    cgroup.notes_.push_back("no cgroups: none can be written (found: " + found + ")");
    return cgroup;
  }
  auto made = cgroup.MakeGroups(cgroups_path, hierarchies);
  if (made) return cgroup;
  // What another container uses is not ours to remove; our own half-made directories are empty.
  if (made.error().code() != base::Code::kFailedPrecondition) {
    (void)cgroup.Remove();
  }
  made.error().Push(__FILE__, __LINE__, "pod cgroup {}", cgroup.path_);
  return std::move(made.error());
}

base::Result<std::optional<SystemdScope>> PodCgroup::StartScope(const std::string& cgroups_path,
                                                                const Hierarchies& hierarchies) {
  const std::optional<ScopeUnit> unit = ScopeOfHost(cgroups_path, hierarchies);
  if (!unit) return std::optional<SystemdScope>();
  return std::optional<SystemdScope>(TRY(SystemdScope::Start(*unit)));
}

base::Result<void> PodCgroup::MakeGroups(const std::string& cgroups_path,
                                         const Hierarchies& hierarchies) {
  TRY(layout_->CheckFree(path_));
  scope_ = TRY(StartScope(cgroups_path, hierarchies));
  if (scope_) scope_unit_ = SystemdScopeOf(cgroups_path);
  return layout_->Make(path_, notes_);
}

base::Result<void> PodCgroup::AddVmmProcess(pid_t pid) {
  if (!layout_) return base::Ok();
  TRY(layout_->AddVmmProcess(path_, pid), "move the vmm, pid {}, to its cgroup", pid);
  scope_.reset();
  return base::Ok();
}

base::Result<void> PodCgroup::AddVmmThread(pid_t tid) {
  if (!layout_) return base::Ok();
  TRY(layout_->AddVmmThread(path_, tid), "move the vmm's thread {} to its cgroup", tid);
  return base::Ok();
}

base::Result<void> PodCgroup::AddVcpuThread(pid_t tid) {
  if (!layout_) return base::Ok();
  TRY(layout_->AddVcpuThread(path_, tid), "move the vCPU thread {} to its cgroup", tid);
  return base::Ok();
}

base::Result<void> PodCgroup::SetVcpuCpuset(const std::string& cpus, const std::string& mems) {
  if (!layout_) return base::Ok();
  const bool set = TRY(layout_->SetCpuset(path_ + kVcpuLeaf, cpus, mems), "cpuset of the vCPUs");
  if (set || (cpus.empty() && mems.empty())) return base::Ok();
  notes_.push_back(fmt::format("no cpuset controller: CPUs \"{}\" are kept by thread masks alone{}",
                               cpus, mems.empty() ? "" : ", memory nodes are not enforced"));
  return base::Ok();
}

base::Result<void> PodCgroup::SetVmmCpuset(const std::string& cpus, const std::string& mems) {
  if (!layout_ || (cpus.empty() && mems.empty())) return base::Ok();
  if (!TRY(layout_->SetCpuset(path_ + kVmmLeaf, cpus, mems), "cpuset of the vmm")) {
    notes_.push_back(fmt::format("no cpuset controller: the vmm is not confined to \"{}\"", cpus));
  }
  return base::Ok();
}

base::Result<void> PodCgroup::SetCpuLimit(const CpuLimit& limit) {
  if (!layout_) return base::Ok();  // Create was told that no limit is wanted
  TRY(layout_->SetCpuLimit(path_, limit, notes_), "CPU limit");
  if (!scope_unit_ || limit.shares == 0) return base::Ok();
  return SetScopeWeight(*scope_unit_, cpu::WeightFromShares(limit.shares));
}

base::Result<void> PodCgroup::AddAnchor(pid_t pid, const std::string& cgroups_path) {
  if (!layout_) return base::Ok();
  const std::string path = cgroups_path.empty() ? path_ : TRY(ResolvePath(cgroups_path, ""));
  if (path != path_) anchor_paths_.insert(path);
  TRY(layout_->AddAnchor(path, pid), "move the anchor, pid {}, to cgroup {}", pid, path);
  return base::Ok();
}

std::vector<std::string> PodCgroup::Directories() const {
  return layout_ ? layout_->Directories(path_) : std::vector<std::string>();
}

base::Result<void> PodCgroup::Remove() {
  if (!layout_) return base::Ok();
  base::Result<void> result = layout_->Remove(path_);
  for (const std::string& path : std::exchange(anchor_paths_, {})) {
    auto removed = layout_->Remove(path);
    if (!removed && result) result = std::move(removed);
  }
  scope_.reset();
  if (!scope_unit_) return result;
  base::Result<void> stopped = StopScope(*scope_unit_);
  return result ? std::move(stopped) : std::move(result);
}

base::Result<void> PodCgroup::RemoveAt(const std::string& cgroups_path, const std::string& pod_id,
                                       const Hierarchies& hierarchies) {
  PodCgroup cgroup(MakeLayout(hierarchies), TRY(ResolvePath(cgroups_path, pod_id)));
  cgroup.scope_unit_ = ScopeOfHost(cgroups_path, hierarchies);
  return cgroup.Remove();
}

}  // namespace cgroup
