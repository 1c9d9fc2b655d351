#include "runtime/agent/pod_settings.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "runtime/agent/mounts.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

base::Result<void> WriteBelow(base::BorrowedFd directory, const std::string& path,
                              std::string_view value) {
  const base::UniqueFd file = TRY(base::OpenInRoot(directory, path, O_WRONLY));
  if (write(file.get(), value.data(), value.size()) < 0) {
    return base::ErrnoError("write \"{}\" to {}", value, path);
  }
  return base::Ok();
}

}  // namespace

base::Result<void> SetHostnames(const std::string& hostname, const std::string& domainname) {
  if (!hostname.empty() && sethostname(hostname.data(), hostname.size()) != 0) {
    return base::ErrnoError("hostname \"{}\"", hostname);
  }
  if (!domainname.empty() && setdomainname(domainname.data(), domainname.size()) != 0) {
    return base::ErrnoError("domainname \"{}\"", domainname);
  }
  return base::Ok();
}

base::Result<void> SetSysctls(const std::map<std::string, std::string>& sysctl) {
  if (sysctl.empty()) return base::Ok();
  // One of our own: whatever image and mounts have put at /proc is not asked.
  const base::UniqueFd proc = TRY(NewFilesystem("proc", "proc", MountOptions{}));
  const base::UniqueFd sys = TRY(base::OpenInRoot(proc, "sys", O_PATH | O_DIRECTORY));
  for (const auto& [name, value] : sysctl) {
    std::string path = name;
    if (path.find('/') == std::string::npos) std::replace(path.begin(), path.end(), '.', '/');
    TRY(WriteBelow(sys, path, value), "sysctl {}", name);
  }
  return base::Ok();
}

base::Result<void> ApplyPodSettings(const PodSettings& settings) {
  TRY(SetHostnames(settings.hostname, settings.domainname));
  return SetSysctls(settings.sysctl);
}

}  // namespace agent
