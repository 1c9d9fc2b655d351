#include "runtime/shim/shim_cgroup.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "runtime/base/file.h"

namespace shim {

base::Result<void> EnterShimCgroup(const std::string& path, pid_t pid, const std::string& root) {
  std::vector<std::string> hierarchies;
  if (access((root + "/cgroup.controllers").c_str(), F_OK) == 0) {
    hierarchies.push_back(root);
  } else {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
      // "cpu" and "cpuacct" are links to "cpu,cpuacct".
      if (entry.is_directory(error) && !entry.is_symlink(error)) {
        hierarchies.push_back(entry.path().string());
      }
    }
  }
  bool found = false;
  for (const std::string& hierarchy : hierarchies) {
    const std::string file = hierarchy + "/" + path + "/cgroup.procs";
    if (access(file.c_str(), F_OK) != 0) continue;
    TRY(base::WriteFile(file, std::to_string(pid)), "shim_cgroup");
    found = true;
  }
  if (found) return base::Ok();
  return base::MakeError(base::Code::kNotFound, "shim_cgroup {}: no such cgroup below {}", path,
                         root);
}

}  // namespace shim
