// Rule R11: a new request to a machine that runs. Planned as a new machine would be, then fitted to
// the places that the machine was made with: a place's coordinates and id never change, which of
// them run and where does. Applying an update decides nothing. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cpu/plan.h"

namespace cpu {

struct PlanUpdate {
  CpuPlan plan;  // to be in force: vcpus that run, spare that do not
  // Indices of vCPUs, ascending. Each that stays and is not in `moved` keeps its mask.
  std::vector<uint32_t> added;
  std::vector<uint32_t> moved;  // another mask: set before anything is unplugged
  std::vector<uint32_t> removed;
};

// How many vCPUs share, where no CPU is pinned before or after: as the rules say, or no fewer than
// now. The latter where nobody asks for less: the containers of a CRI pod come one by one, and
// their sum says nothing until the last has come.
enum class SharedVcpus { kAsAsked, kNoFewer };

// Errors as Plan; besides, kFailedPrecondition if pins are required and the machine has too few
// places. vCPU 0 always stays. Notes: boot_cpu_moved, coords_inexact (a vCPU was added at a place
// that stands otherwise to the others than its host CPU), topology_stale (one that runs does),
// places_exhausted; where no vCPU comes, goes or is pinned elsewhere, those of `in_force` stay.
base::Result<PlanUpdate> PlanAgain(const HostTopology& host, const CpuRequest& request,
                                   const Policy& policy, const CpuPlan& in_force,
                                   SharedVcpus shared = SharedVcpus::kAsAsked);

}  // namespace cpu
