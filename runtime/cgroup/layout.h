// What PodCgroup does, for one cgroup version; internal to cgroup. `directory`s are absolute,
// `path`s below the root of a hierarchy. Thread rule: thread-bound.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cgroup/hierarchy.h"
#include "runtime/cgroup/pod_cgroup.h"

namespace cgroup {

inline constexpr const char* kVcpuLeaf = "/vcpu";
inline constexpr const char* kVmmLeaf = "/vmm";

class Layout {
 public:
  virtual ~Layout() = default;

  // kFailedPrecondition if another's processes are in there.
  virtual base::Result<void> CheckFree(const std::string& path) = 0;
  virtual base::Result<void> Make(const std::string& path, std::vector<std::string>& notes) = 0;
  virtual base::Result<void> AddVmmProcess(const std::string& path, pid_t pid) = 0;
  virtual base::Result<void> AddVmmThread(const std::string& path, pid_t tid) = 0;
  virtual base::Result<void> AddVcpuThread(const std::string& path, pid_t tid) = 0;
  // `leaf_path` ends in kVcpuLeaf or kVmmLeaf; an empty list: what the pod's cgroup has. False: no
  // cpuset controller there.
  virtual base::Result<bool> SetCpuset(const std::string& leaf_path, const std::string& cpus,
                                       const std::string& mems) = 0;
  // kFailedPrecondition where a quota is asked for and there is no cpu controller.
  virtual base::Result<void> SetCpuLimit(const std::string& path, const CpuLimit& limit,
                                         std::vector<std::string>& notes) = 0;
  virtual base::Result<void> AddAnchor(const std::string& path, pid_t pid) = 0;
  virtual std::vector<std::string> Directories(const std::string& path) const = 0;
  // Kills members only if the leaves show that the cgroup is one of ours.
  virtual base::Result<void> Remove(const std::string& path) = 0;
};

std::unique_ptr<Layout> MakeLayoutV1(const Hierarchies& hierarchies);
std::unique_ptr<Layout> MakeLayoutV2(const Hierarchy& hierarchy);

}  // namespace cgroup
