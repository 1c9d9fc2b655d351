// The guest's CPUs, taken on- and offline. A vCPU is named by its index in the vmm's configuration,
// which its ACPI device carries as _UID: Linux numbers CPUs that come later as they come.
//
// Thread rule: reentrant; blocks while the kernel starts or stops a CPU (milliseconds).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.h"

namespace agent {

inline constexpr char kCpuDirectory[] = "/sys/devices/system/cpu";

struct GuestCpu {
  uint32_t number = 0;  // Linux'
  uint32_t vcpu = 0;
  bool online = false;
  bool operator==(const GuestCpu&) const = default;
};

// Every CPU that is there, on- or offline.
base::Result<std::vector<GuestCpu>> ReadCpus(const std::string& directory = kCpuDirectory);

// Brings these on- or offline, and confirms it; returns every CPU that is there. kNotFound, before
// anything is changed, for one that is not; kInvalidArgument for taking vCPU 0, which booted,
// offline. What the kernel refuses is an error that names the CPU, and what was changed before is
// changed back.
base::Result<std::vector<GuestCpu>> SetCpusOnline(std::span<const uint32_t> vcpus, bool online,
                                                  const std::string& directory = kCpuDirectory);

// Linux' numbers of `vcpus` as a CPU list, "" for none. kNotFound for one that is not there.
base::Result<std::string> CpuListOf(std::span<const uint32_t> vcpus,
                                    const std::string& directory = kCpuDirectory);

}  // namespace agent
