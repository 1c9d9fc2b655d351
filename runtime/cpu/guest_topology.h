// Rules R5 and R6: the places of vCPUs; internal to cpu. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/cpu/plan.h"

namespace cpu {

// R5: mirrors the relations of `set`, whose CPUs must all be in `host`; ascending by place. Fills
// `nodes` with the host node of each guest node.
std::vector<VcpuPlan> MirrorHost(const HostTopology& host, const CpuSet& set, Smt smt,
                                 std::vector<uint32_t>& nodes);

// R6: `count` cores of one thread, each with `affinity`, after those that are in `vcpus`, with a
// shared L3 of their own.
void AppendFlat(std::vector<VcpuPlan>& vcpus, uint64_t count, const CpuSet& affinity);

}  // namespace cpu
