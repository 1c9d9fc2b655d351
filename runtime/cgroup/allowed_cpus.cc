#include "runtime/cgroup/allowed_cpus.h"

#include <algorithm>
#include <initializer_list>

#include "runtime/base/file.h"

namespace cgroup {
namespace {

// The first of `files` that says anything, in `path` or above it.
std::string Nearest(const std::string& mount_point, std::string path,
                    std::initializer_list<const char*> files) {
  for (;;) {
    for (const char* file : files) {
      const auto text = base::ReadFile(fmt::format("{}{}/{}", mount_point, path, file));
      if (!text) continue;
      const std::string list = text->substr(0, text->find('\n'));
      if (!list.empty()) return list;
    }
    if (path.empty()) return {};
    path.resize(std::min(path.rfind('/'), path.size()));
  }
}

}  // namespace

std::string AllowedCpus(const std::string& path, const Hierarchies& hierarchies) {
  const std::string below = path == "/" ? "" : path;
  for (const Hierarchy& hierarchy : hierarchies.all()) {
    const auto& controllers = hierarchy.controllers;
    if (std::find(controllers.begin(), controllers.end(), "cpuset") == controllers.end()) continue;
    return Nearest(hierarchy.mount_point, below, {"cpuset.effective_cpus", "cpuset.cpus"});
  }
  for (const Hierarchy& hierarchy : hierarchies.all()) {
    if (hierarchy.v2) return Nearest(hierarchy.mount_point, below, {"cpuset.cpus.effective"});
  }
  return {};
}

}  // namespace cgroup
