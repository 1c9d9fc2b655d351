// Containers' specs as one CPU request. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <span>

#include "oci/resources.h"
#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/cpu/plan.h"

namespace cpu {

// linux.resources.cpu of the containers of one pod, and the pod's limits from CRI annotations. The
// pause container's own cpu is not a request: its spec gives no container. kInvalidArgument for an
// annotation that is no number.
base::Result<CpuRequest> RequestFromSpecs(std::span<const oci::Spec> specs);
base::Result<CpuRequest> RequestFromSpec(const oci::Spec& spec);

// `request` as an update changes it: what `cpu` does not give stays.
ContainerRequest Updated(ContainerRequest request, const oci::CpuLimits& cpu);
// Whether limit or shares are lower than before.
bool AsksLess(const ContainerRequest& before, const ContainerRequest& after);

// The guest's RAM: in a pod `sandbox-memory`, else the containers' limits, plus `overhead_mib`; if
// a container has no limit, `default_mib` if that is more. kInvalidArgument for an annotation that
// is no number, kOutOfRange for more than an address space holds.
base::Result<uint64_t> GuestMemoryMib(std::span<const oci::Spec> specs, uint64_t default_mib,
                                      uint64_t overhead_mib);

// "When a CRI pod boots": whether the machine of a pod with these limits waits for the first
// container, whose CPUs RunPodSandbox does not know.
bool BootsWithFirstContainer(const CpuRequest& sandbox, Boot boot);

}  // namespace cpu
