#include <algorithm>
#include <string_view>

#include "runtime/base/file.h"
#include "runtime/cgroup/files.h"
#include "runtime/cgroup/layout.h"

namespace cgroup {
namespace {

// With leaves, since these two are what tells vCPU threads from the rest.
constexpr std::string_view kSplitControllers[] = {"cpu", "cpuset"};
// Whole processes in the pod's own directory: what monitoring reads.
constexpr std::string_view kWholeControllers[] = {"cpuacct", "memory", "pids", "freezer"};

class LayoutV1 final : public Layout {
 public:
  explicit LayoutV1(const Hierarchies& hierarchies);

  base::Result<void> CheckFree(const std::string& path) override;
  base::Result<void> Make(const std::string& path, std::vector<std::string>& notes) override;
  base::Result<void> AddVmmProcess(const std::string& path, pid_t pid) override;
  base::Result<void> AddVmmThread(const std::string& path, pid_t tid) override;
  base::Result<void> AddVcpuThread(const std::string& path, pid_t tid) override;
  base::Result<bool> SetCpuset(const std::string& leaf_path, const std::string& cpus,
                               const std::string& mems) override;
  base::Result<void> SetCpuLimit(const std::string& path, const CpuLimit& limit,
                                 std::vector<std::string>& notes) override;
  base::Result<void> AddAnchor(const std::string& path, pid_t pid) override;
  std::vector<std::string> Directories(const std::string& path) const override;
  base::Result<void> Remove(const std::string& path) override;

 private:
  base::Result<void> MakeIn(const std::string& root, const std::string& path);

  // Mount points, each once: controllers may share one.
  std::vector<std::string> split_;
  std::vector<std::string> whole_;
  std::string cpu_root_;     // empty: none
  std::string cpuset_root_;  // empty: none
};

// cpuset(7): a new cpuset has no CPUs and no nodes, and takes no task until it has.
base::Result<void> InheritCpuset(const std::string& directory, const std::string& parent) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    const std::string own = TRY(base::ReadFile(directory + file));
    if (own.find_first_not_of(" \n") != std::string::npos) continue;
    std::string inherited = TRY(base::ReadFile(parent + file));
    inherited.resize(inherited.find_last_not_of('\n') + 1);
    TRY(base::WriteFile(directory + file, inherited));
  }
  return base::Ok();
}

LayoutV1::LayoutV1(const Hierarchies& hierarchies) {
  const auto add = [](std::vector<std::string>& list, const std::string& root) {
    if (std::find(list.begin(), list.end(), root) == list.end()) list.push_back(root);
  };
  for (const std::string_view controller : kSplitControllers) {
    const Hierarchy* hierarchy = hierarchies.V1(controller);
    if (!hierarchy) continue;
    add(split_, hierarchy->mount_point);
    (controller == "cpu" ? cpu_root_ : cpuset_root_) = hierarchy->mount_point;
  }
  for (const std::string_view controller : kWholeControllers) {
    const Hierarchy* hierarchy = hierarchies.V1(controller);
    if (!hierarchy) continue;
    const std::string& root = hierarchy->mount_point;
    if (std::find(split_.begin(), split_.end(), root) == split_.end()) add(whole_, root);
  }
}

base::Result<void> LayoutV1::MakeIn(const std::string& root, const std::string& path) {
  return MakeGroup(root, path, [&](const std::string& directory, const std::string& parent) {
    if (root != cpuset_root_) return base::Ok();
    return InheritCpuset(directory, parent);
  });
}

base::Result<void> LayoutV1::CheckFree(const std::string& path) {
  for (const std::string& root : split_) {
    for (const char* leaf : {"", kVcpuLeaf, kVmmLeaf}) {
      const std::string directory = root + path + leaf;
      if (!Exists(directory) || !TRY(IsPopulated(directory))) continue;
      return base::MakeError(base::Code::kFailedPrecondition,
                             "cgroup {} has processes already: another container uses it",
                             directory);
    }
  }
  return base::Ok();
}

base::Result<void> LayoutV1::Make(const std::string& path, std::vector<std::string>& notes) {
  for (const std::string& root : split_) {
    TRY(MakeIn(root, path + kVcpuLeaf));
    TRY(MakeIn(root, path + kVmmLeaf));
  }
  for (const std::string& root : whole_) {
    auto made = MakeIn(root, path);
    if (!made) notes.push_back("no accounting: " + made.error().Message());
  }
  if (cpu_root_.empty()) notes.push_back("no writable cgroup v1 hierarchy has the cpu controller");
  if (cpuset_root_.empty()) {
    notes.push_back("no writable cgroup v1 hierarchy has the cpuset controller");
  }
  return base::Ok();
}

base::Result<void> LayoutV1::AddVmmProcess(const std::string& path, pid_t pid) {
  for (const std::string& root : split_) {
    TRY(WritePid(root + path + kVmmLeaf, "cgroup.procs", pid));
  }
  for (const std::string& root : whole_) {
    if (Exists(root + path)) TRY(WritePid(root + path, "cgroup.procs", pid));
  }
  return base::Ok();
}

base::Result<void> LayoutV1::AddVmmThread(const std::string& path, pid_t tid) {
  for (const std::string& root : split_) TRY(WritePid(root + path + kVmmLeaf, "tasks", tid));
  return base::Ok();
}

base::Result<void> LayoutV1::AddVcpuThread(const std::string& path, pid_t tid) {
  for (const std::string& root : split_) TRY(WritePid(root + path + kVcpuLeaf, "tasks", tid));
  return base::Ok();
}

base::Result<bool> LayoutV1::SetCpuset(const std::string& leaf_path, const std::string& cpus,
                                       const std::string& mems) {
  if (cpuset_root_.empty()) return false;
  const std::string directory = cpuset_root_ + leaf_path;
  const std::string pod = directory.substr(0, directory.rfind('/'));
  // cpuset(7): a set with tasks cannot be emptied.
  const auto set = [&](const char* file, std::string list) -> base::Result<void> {
    if (list.empty()) list = TRY(base::ReadFile(pod + file));
    return base::WriteFile(directory + file, list);
  };
  TRY(set("/cpuset.cpus", cpus));
  TRY(set("/cpuset.mems", mems));
  return true;
}

base::Result<void> LayoutV1::SetCpuLimit(const std::string& path, const CpuLimit& limit,
                                         std::vector<std::string>& notes) {
  if (cpu_root_.empty()) {
    if (limit.quota_us <= 0) return base::Ok();
    return base::MakeError(base::Code::kFailedPrecondition,
                           "a CPU limit of {}/{} µs cannot be enforced: no writable cgroup v1 "
                           "hierarchy has the cpu controller",
                           limit.quota_us, limit.period_us);
  }
  const std::string pod = cpu_root_ + path;
  const std::string leaf = pod + kVcpuLeaf;
  // Kernels without CONFIG_CFS_BANDWIDTH have the controller, but not these files.
  if (Exists(leaf + "/cpu.cfs_quota_us")) {
    // The quota goes away first: an old quota with a new period may break the parent's ratio.
    TRY(base::WriteFile(leaf + "/cpu.cfs_quota_us", "-1"));
    // And an earlier burst: the kernel takes no quota below it.
    if (Exists(leaf + "/cpu.cfs_burst_us")) TRY(base::WriteFile(leaf + "/cpu.cfs_burst_us", "0"));
    TRY(base::WriteFile(leaf + "/cpu.cfs_period_us", std::to_string(limit.period_us)));
    if (limit.quota_us > 0) {
      TRY(base::WriteFile(leaf + "/cpu.cfs_quota_us", std::to_string(limit.quota_us)));
    }
    if (limit.burst_us > 0) {
      TRY(base::WriteFile(leaf + "/cpu.cfs_burst_us", std::to_string(limit.burst_us)));
    }
  } else if (limit.quota_us > 0) {
    return base::MakeError(base::Code::kFailedPrecondition,
                           "a CPU limit of {}/{} µs cannot be enforced: {} has no cpu.cfs_quota_us",
                           limit.quota_us, limit.period_us, leaf);
  }
  if (limit.shares == 0) return base::Ok();
  if (!Exists(pod + "/cpu.shares")) {
    notes.push_back(fmt::format("no cpu.shares in cgroup {}: CPU shares are without effect", pod));
    return base::Ok();
  }
  // On the pod: shares count among siblings, and the pod's siblings are the other containers.
  return base::WriteFile(pod + "/cpu.shares", std::to_string(limit.shares));
}

base::Result<void> LayoutV1::AddAnchor(const std::string& path, pid_t pid) {
  for (const auto* list : {&split_, &whole_}) {
    for (const std::string& root : *list) {
      TRY(MakeIn(root, path));
      TRY(WritePid(root + path, "cgroup.procs", pid));
    }
  }
  return base::Ok();
}

std::vector<std::string> LayoutV1::Directories(const std::string& path) const {
  std::vector<std::string> directories;
  for (const std::string& root : split_) {
    for (const char* leaf : {kVcpuLeaf, kVmmLeaf, ""}) directories.push_back(root + path + leaf);
  }
  for (const std::string& root : whole_) directories.push_back(root + path);
  return directories;
}

base::Result<void> LayoutV1::Remove(const std::string& path) {
  for (const std::string& root : split_) {
    const std::string pod = root + path;
    if (!Exists(pod + kVcpuLeaf) || !Exists(pod + kVmmLeaf)) continue;
    for (const char* leaf : {kVcpuLeaf, kVmmLeaf, ""}) KillMembers(pod + leaf);
  }
  for (const std::string& root : split_) {
    TRY(RemoveGroup(root + path + kVcpuLeaf));
    TRY(RemoveGroup(root + path + kVmmLeaf));
    TRY(RemoveGroup(root + path));
    RemoveEmptyParents(root, path);
  }
  for (const std::string& root : whole_) {
    TRY(RemoveGroup(root + path));
    RemoveEmptyParents(root, path);
  }
  return base::Ok();
}

}  // namespace

std::unique_ptr<Layout> MakeLayoutV1(const Hierarchies& hierarchies) {
  return std::make_unique<LayoutV1>(hierarchies);
}

}  // namespace cgroup
