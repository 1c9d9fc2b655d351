// What belongs to the pod rather than to one of its containers: the names and kernel parameters of
// the guest's own namespaces, which the containers of a pod share.
// Thread rule: acts on the caller's namespaces.
#pragma once

#include <map>
#include <string>

#include "runtime/base/result.h"

namespace agent {

struct PodSettings {
  std::string hostname;  // empty: left as it is; so is domainname
  std::string domainname;
  std::map<std::string, std::string> sysctl;
};

base::Result<void> ApplyPodSettings(const PodSettings& settings);

base::Result<void> SetHostnames(const std::string& hostname, const std::string& domainname);
// Names are "net.ipv4.ip_forward", or with slashes where a part holds a dot;
// sysctl(8).
base::Result<void> SetSysctls(const std::map<std::string, std::string>& sysctl);

}  // namespace agent
