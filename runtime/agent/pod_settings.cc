#include "runtime/agent/pod_settings.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/agent/child_process.h"
#include "runtime/agent/mounts.h"
#include "runtime/base/file.h"

namespace agent {

base::Result<void> SetHostnames(const std::string& hostname, const std::string& domainname) {
  if (!hostname.empty() && sethostname(hostname.data(), hostname.size()) != 0) {
    return base::ErrnoError("hostname \"{}\"", hostname);
  }
  if (!domainname.empty() && setdomainname(domainname.data(), domainname.size()) != 0) {
    return base::ErrnoError("domainname \"{}\"", domainname);
  }
  return base::Ok();
}

base::Result<void> SetSysctls(base::BorrowedFd proc,
                              const std::map<std::string, std::string>& sysctl) {
  if (sysctl.empty()) return base::Ok();
  const base::UniqueFd sys = TRY(base::OpenInRoot(proc, "sys", O_PATH | O_DIRECTORY));
  for (const auto& [name, value] : sysctl) {
    std::string path = name;
    if (path.find('/') == std::string::npos) std::replace(path.begin(), path.end(), '.', '/');
    TRY(WriteProc(sys, path, value), "sysctl {}", name);
  }
  return base::Ok();
}

base::Result<void> ApplyPodSettings(const PodSettings& settings) {
  TRY(SetHostnames(settings.hostname, settings.domainname));
  if (settings.sysctl.empty()) return base::Ok();
  const base::UniqueFd proc = TRY(NewFilesystem("proc", "proc", MountOptions{}));
  return SetSysctls(proc, settings.sysctl);
}

}  // namespace agent
