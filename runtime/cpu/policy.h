// How CPU requests are to be met on this host: the [cpu] section of config.toml, with what a pod's
// annotations change. Thread rule: a value.
#pragma once

#include <cstdint>

#include "runtime/cpu/cpu_set.h"

namespace cpu {

enum class Pinning {
  kAuto,      // pin when the rules give one CPU to each vCPU
  kRequired,  // an error where that cannot be had
  kOff,
};

enum class Smt {
  kMirror,  // host siblings are shown as siblings
  kHide,    // every vCPU is a core
};

// When a pod's machine boots: its containers' CPUs are not known when the pod is made.
enum class Boot {
  kAuto,            // with the first container if the pod looks like one that gets CPUs of its own
  kEager,           // with the pod
  kFirstContainer,  // with the first container
};

// Whose CPUID leaves the guest sees; other than the host's for tests only.
enum class CpuVendor { kHost, kIntel, kAmd };

struct Policy {
  Pinning pinning = Pinning::kAuto;
  Smt smt = Smt::kMirror;
  // For a request that names neither a limit nor CPUs. One, as a container of a shared host expects
  // no more than its share, and each further vCPU costs boot time and memory.
  uint32_t default_vcpus = 1;
  // 0: as many as the host has online.
  uint32_t max_vcpus = 0;
  // vCPUs beyond those that boot, for which a later request may find a place. None, as few pods
  // ever change: each costs a thread, some 30 KiB in KVM and the guest's memory for a CPU. In CRI
  // the pod's own limits keep places too.
  uint32_t spare_vcpus = 0;
  // Where the vmm's other threads run; empty: rule R7 decides.
  CpuSet housekeeping;
  Boot boot = Boot::kAuto;
  CpuVendor cpu_vendor = CpuVendor::kHost;
  // A core scheduling cookie for each pod's vmm, where the kernel has it.
  bool core_scheduling = true;
  bool operator==(const Policy&) const = default;
};

}  // namespace cpu
