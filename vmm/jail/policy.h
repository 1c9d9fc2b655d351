// The seccomp policies of pinion-vmm's threads, as BPF programs. Default: SECCOMP_RET_TRAP.
// Thread rule: reentrant.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/seccomp_filter.h"

namespace vmm::jail {

base::Result<std::vector<sock_filter>> VcpuPolicy();    // vcpu_policy.cc
base::Result<std::vector<sock_filter>> DevicePolicy();  // device_policy.cc

// What every thread may do. The device policy contains the vCPU policy, because a vCPU thread that
// is added later is born under the former and puts the latter on top.
base::Result<void> AddVcpuRules(base::SeccompFilter& filter);

// Helpers of the policy files. A 32-bit argument is compared as the kernel reads it: its lower
// half.
base::Result<void> AllowCalls(base::SeccompFilter& filter, std::span<const char* const> names);
base::Result<void> AllowIfArgument(base::SeccompFilter& filter, const char* name, unsigned argument,
                                   uint32_t value);
base::Result<void> AllowWithoutBits(base::SeccompFilter& filter, const char* name,
                                    unsigned argument, uint32_t bits);

}  // namespace vmm::jail
