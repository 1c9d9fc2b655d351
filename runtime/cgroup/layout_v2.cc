#include <cerrno>
#include <string_view>

#include "runtime/base/file.h"
#include "runtime/cgroup/files.h"
#include "runtime/cgroup/layout.h"
#include "runtime/cpu/weight.h"

namespace cgroup {
namespace {

// cgroup-v2.rst, "Threads": the controllers that work inside a threaded domain.
constexpr const char* kThreadedControllers[] = {"cpu", "cpuset", "pids"};
// For the pod as a whole; memory is then accounted where the domain is.
constexpr const char* kDomainControllers[] = {"cpu", "cpuset", "pids", "memory"};

class LayoutV2 final : public Layout {
 public:
  explicit LayoutV2(std::string root) : root_(std::move(root)) {}

  base::Result<void> CheckFree(const std::string& path) override;
  base::Result<void> Make(const std::string& path, std::vector<std::string>& notes) override;
  base::Result<void> AddVmmProcess(const std::string& path, pid_t pid) override {
    // Legal although reading it is not: "cgroup.procs … can be written to from anywhere in the
    // subtree to migrate all threads of the matching process" (cgroup-v2.rst, "Threads").
    return WritePid(root_ + path + kVmmLeaf, "cgroup.procs", pid);
  }
  base::Result<void> AddVmmThread(const std::string& path, pid_t tid) override {
    return WritePid(root_ + path + kVmmLeaf, "cgroup.threads", tid);
  }
  base::Result<void> AddVcpuThread(const std::string& path, pid_t tid) override {
    return WritePid(root_ + path + kVcpuLeaf, "cgroup.threads", tid);
  }
  base::Result<bool> SetCpuset(const std::string& leaf_path, const std::string& cpus,
                               const std::string& mems) override;
  base::Result<void> SetCpuLimit(const std::string& path, const CpuLimit& limit,
                                 std::vector<std::string>& notes) override;
  base::Result<void> AddAnchor(const std::string& path, pid_t pid) override;
  std::vector<std::string> Directories(const std::string& path) const override {
    return {root_ + path + kVcpuLeaf, root_ + path + kVmmLeaf, root_ + path};
  }
  base::Result<void> Remove(const std::string& path) override;

 private:
  // Where it fails the controller is missing below, which shows where it is needed.
  template <size_t kCount>
  static void Enable(const std::string& directory, const char* const (&controllers)[kCount]) {
    for (const char* controller : controllers) {
      // One by one: a list with one unknown name changes nothing.
      (void)base::WriteFile(directory + "/cgroup.subtree_control", std::string("+") + controller);
    }
  }

  std::string root_;
};

base::Result<void> LayoutV2::CheckFree(const std::string& path) {
  const std::string pod = root_ + path;
  if (!Exists(pod) || !TRY(IsPopulated(pod))) return base::Ok();
  return base::MakeError(base::Code::kFailedPrecondition,
                         "cgroup {} has processes already: another container uses it", pod);
}

base::Result<void> LayoutV2::Make(const std::string& path, std::vector<std::string>& notes) {
  const std::string pod = root_ + path;
  TRY(MakeGroup(root_, path, [](const std::string&, const std::string& parent) {
    Enable(parent, kDomainControllers);
    return base::Ok();
  }));
  for (const char* leaf : {kVcpuLeaf, kVmmLeaf}) {
    TRY(MakeGroup(pod, leaf, [](const std::string&, const std::string&) { return base::Ok(); }));
    TRY(base::WriteFile(pod + leaf + "/cgroup.type", "threaded"),
        "make {}{} a threaded cgroup (cgroup-v2.rst, \"Threads\")", pod, leaf);
  }
  Enable(pod, kThreadedControllers);
  for (const char* file : {"/cpu.max", "/cpuset.cpus", "/pids.max"}) {
    if (Exists(pod + kVcpuLeaf + file)) continue;
    notes.push_back(fmt::format("cgroup {}{} has no {}: the controller is not available there", pod,
                                kVcpuLeaf, file + 1));
  }
  return base::Ok();
}

base::Result<bool> LayoutV2::SetCpuset(const std::string& leaf_path, const std::string& cpus,
                                       const std::string& mems) {
  const std::string directory = root_ + leaf_path;
  if (!Exists(directory + "/cpuset.cpus")) return false;
  // Linux kernel/cgroup/cpuset.c, validate_change: a set with tasks cannot be emptied, here
  // neither.
  const std::string pod = directory.substr(0, directory.rfind('/'));
  const auto set = [&](const char* file, const std::string& list) -> base::Result<void> {
    if (!list.empty()) return base::WriteFile(directory + file, list);
    const std::string now = TRY(base::ReadFile(directory + file));
    if (now.find_first_not_of('\n') == std::string::npos) return base::Ok();
    const std::string pods = TRY(base::ReadFile(pod + file + ".effective"));
    return base::WriteFile(directory + file, pods);
  };
  TRY(set("/cpuset.cpus", cpus));
  TRY(set("/cpuset.mems", mems));
  return true;
}

base::Result<void> LayoutV2::SetCpuLimit(const std::string& path, const CpuLimit& limit,
                                         std::vector<std::string>& notes) {
  const std::string pod = root_ + path;
  const std::string leaf = pod + kVcpuLeaf;
  if (Exists(leaf + "/cpu.max")) {
    const std::string quota = limit.quota_us > 0 ? std::to_string(limit.quota_us) : "max";
    // An earlier burst goes first: the kernel takes no quota below it.
    if (Exists(leaf + "/cpu.max.burst")) TRY(base::WriteFile(leaf + "/cpu.max.burst", "0"));
    TRY(base::WriteFile(leaf + "/cpu.max", fmt::format("{} {}", quota, limit.period_us)));
    if (limit.burst_us > 0) {
      TRY(base::WriteFile(leaf + "/cpu.max.burst", std::to_string(limit.burst_us)));
    }
  } else if (limit.quota_us > 0) {
    return base::MakeError(base::Code::kFailedPrecondition,
                           "a CPU limit of {}/{} µs cannot be enforced: the cpu controller is not "
                           "available in cgroup {}",
                           limit.quota_us, limit.period_us, leaf);
  }
  if (limit.shares == 0) return base::Ok();
  // On the pod: a weight counts among siblings, and the pod's siblings are the other containers.
  if (!Exists(pod + "/cpu.weight")) {
    notes.push_back(fmt::format("no cpu.weight in cgroup {}: CPU shares are without effect", pod));
    return base::Ok();
  }
  return base::WriteFile(pod + "/cpu.weight", std::to_string(cpu::WeightFromShares(limit.shares)));
}

base::Result<void> LayoutV2::AddAnchor(const std::string& path, pid_t pid) {
  TRY(MakeGroup(root_, path, [](const std::string&, const std::string& parent) {
    Enable(parent, kDomainControllers);
    return base::Ok();
  }));
  return WritePid(root_ + path, "cgroup.procs", pid);
}

base::Result<void> LayoutV2::Remove(const std::string& path) {
  const std::string pod = root_ + path;
  if (Exists(pod + kVcpuLeaf) && Exists(pod + kVmmLeaf)) {
    // Since Linux 5.14; it takes the members of both leaves with it.
    if (!base::WriteFile(pod + "/cgroup.kill", "1")) KillMembers(pod);
  }
  TRY(RemoveGroup(pod + kVcpuLeaf));
  TRY(RemoveGroup(pod + kVmmLeaf));
  TRY(RemoveGroup(pod));
  RemoveEmptyParents(root_, path);
  return base::Ok();
}

}  // namespace

std::unique_ptr<Layout> MakeLayoutV2(const Hierarchy& hierarchy) {
  return std::make_unique<LayoutV2>(hierarchy.mount_point);
}

}  // namespace cgroup
