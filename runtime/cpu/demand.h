// Rules R1–R3 for one container; internal to cpu. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/base/result.h"
#include "runtime/cpu/plan.h"

namespace cpu {

// CPUs times a million, so that 0.1 + 0.2 is 0.3.
using MicroCpus = uint64_t;
constexpr MicroCpus kOneCpu = 1'000'000;
// Above any host; keeps sums far from overflow.
constexpr uint64_t kMaxLimitCpus = 1'000'000;

// R2. nullopt: no limit. kInvalidArgument for a period beyond the kernel's second.
base::Result<std::optional<MicroCpus>> LimitOf(const ContainerRequest& request);
constexpr uint64_t CeilCpus(MicroCpus limit) { return (limit + kOneCpu - 1) / kOneCpu; }
// ceil(shares / 1024), without overflow.
constexpr uint64_t CpusOfShares(uint64_t shares) { return shares / 1024 + (shares % 1024 != 0); }

// What one container asks for.
struct Demand {
  bool has_cpus = false;
  CpuSet set;  // S of R1
  std::optional<MicroCpus> limit;
  uint64_t shares = 0;
  bool own = false;     // R3
  bool pinned = false;  // R4: own, and as many vCPUs as CPUs
};

base::Result<Demand> DemandOf(const ContainerRequest& container, bool cri, const CpuSet& online,
                              const CpuSet& allowed);

// R3: vCPUs for containers that share them, before the clamp.
uint64_t SharedCount(bool cri, bool has_cpus, std::optional<MicroCpus> limit, uint64_t shares,
                     uint32_t default_vcpus);

// Parses a list of CPUs or nodes, all of which must be in `present`. `what`: "CPU" or "memory
// node".
base::Result<CpuSet> PresentList(const std::string& text, const CpuSet& present, const char* field,
                                 const char* what);

}  // namespace cpu
