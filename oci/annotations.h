// Annotation names that containerd's CRI plugin puts on the spec of a pod's containers
// (containerd internal/cri/annotations), and ours. Thread rule: constants.
#pragma once

#include <string_view>

namespace oci {

inline constexpr std::string_view kContainerType = "io.kubernetes.cri.container-type";
inline constexpr std::string_view kContainerTypeSandbox = "sandbox";
inline constexpr std::string_view kContainerTypeContainer = "container";
inline constexpr std::string_view kSandboxId = "io.kubernetes.cri.sandbox-id";
inline constexpr std::string_view kSandboxName = "io.kubernetes.cri.sandbox-name";
inline constexpr std::string_view kSandboxNamespace = "io.kubernetes.cri.sandbox-namespace";
inline constexpr std::string_view kSandboxUid = "io.kubernetes.cri.sandbox-uid";
inline constexpr std::string_view kSandboxLogDirectory = "io.kubernetes.cri.sandbox-log-directory";
inline constexpr std::string_view kContainerName = "io.kubernetes.cri.container-name";
inline constexpr std::string_view kImageName = "io.kubernetes.cri.image-name";
// The pod's limits; decimal numbers as OCI linux.resources has them.
inline constexpr std::string_view kSandboxCpuPeriod = "io.kubernetes.cri.sandbox-cpu-period";
inline constexpr std::string_view kSandboxCpuQuota = "io.kubernetes.cri.sandbox-cpu-quota";
inline constexpr std::string_view kSandboxCpuShares = "io.kubernetes.cri.sandbox-cpu-shares";
inline constexpr std::string_view kSandboxMemory = "io.kubernetes.cri.sandbox-memory";

// Overrides of config.toml's [cpu]; the last part is the key there.
inline constexpr std::string_view kPinionCpuPrefix = "io.pinion.cpu.";

}  // namespace oci
