#include "runtime/shim/sandbox_spec.h"

#include <string>

#include "agent-proto/proto/containerd/cri.pb.h"
#include "oci/annotations.h"
#include "runtime/base/log.h"

namespace shim {
namespace {

namespace cri = ::containerd::cri;

constexpr std::string_view kConfigType = "runtime.v1.PodSandboxConfig";
constexpr std::string_view kSystemdSlice = ".slice";

using Annotations = std::map<std::string, std::string>;

template <class Map>
void TakeOwnAnnotations(const Map& from, Annotations& to) {
  for (const auto& [key, value] : from) {
    if (key.starts_with("io.pinion.")) to[key] = value;
  }
}

void AnnotateLimits(const cri::LinuxContainerResources& limits, Annotations& annotations) {
  const auto set = [&](std::string_view name, int64_t value) {
    if (value > 0) annotations[std::string(name)] = std::to_string(value);
  };
  set(oci::kSandboxCpuPeriod, limits.cpu_period());
  set(oci::kSandboxCpuQuota, limits.cpu_quota());
  set(oci::kSandboxCpuShares, limits.cpu_shares());
  set(oci::kSandboxMemory, limits.memory_limit_in_bytes());
}

// containerd internal/cri/server/podsandbox: "parent/id" for cgroupfs, "slice:prefix:id" where a
// parent in systemd's form tells that systemd is the driver.
std::string CgroupsPath(const std::string& parent, const std::string& id) {
  if (parent.empty()) return {};
  if (!parent.ends_with(kSystemdSlice)) return parent + "/" + id;
  return parent.substr(parent.rfind('/') + 1) + ":cri-containerd:" + id;
}

}  // namespace

base::Result<oci::Spec> SandboxSpec(const containerd::sandbox::CreateSandboxRequest& request) {
  cri::PodSandboxConfig config;
  if (request.options().type_url() == kConfigType &&
      !config.ParseFromString(request.options().value())) {
    return base::MakeError(base::Code::kInvalidArgument, "the options are no {}", kConfigType);
  }
  oci::Spec spec;
  spec.oci_version = "1.2.0";
  spec.process.emplace();
  spec.process->args = {"pause"};
  spec.process->cwd = "/";
  spec.root.emplace();
  spec.root->path = "rootfs";
  spec.hostname = config.hostname();
  TakeOwnAnnotations(config.annotations(), spec.annotations);
  TakeOwnAnnotations(request.annotations(), spec.annotations);
  spec.annotations[std::string(oci::kContainerType)] = oci::kContainerTypeSandbox;
  spec.annotations[std::string(oci::kSandboxId)] = request.sandbox_id();
  AnnotateLimits(config.linux_config().resources(), spec.annotations);
  spec.linux_config.sysctl = {config.linux_config().sysctls().begin(),
                              config.linux_config().sysctls().end()};
  spec.linux_config.cgroups_path =
      CgroupsPath(config.linux_config().cgroup_parent(), request.sandbox_id());
  spec.linux_config.namespaces = {{"pid", ""}, {"ipc", ""}, {"uts", ""}, {"mount", ""}};
  const auto network = config.linux_config().security_context().namespace_options().network();
  if (network != cri::NAMESPACE_MODE_NODE) {
    spec.linux_config.namespaces.push_back({"network", request.netns_path()});
  }
  return spec;
}

}  // namespace shim
