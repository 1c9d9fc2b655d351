// Rules R5 and R6: the places of vCPUs; internal to cpu. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/cpu/plan.h"

namespace cpu {

// R5: mirrors the relations of `set` into plan.vcpus and those of `grow` into plan.spare; the CPUs
// must all be in `host`. What boots is numbered first, so that places kept for later leave no holes
// in it. Fills plan.nodes with the host nodes, those of `set` first.
void MirrorHost(const HostTopology& host, const CpuSet& set, const CpuSet& grow, Smt smt,
                CpuPlan& plan);

// R6: further cores of one thread each, with an L3 of their own: `count` of them with `affinity`
// into plan.vcpus, `spare` into plan.spare.
void AppendFlat(uint64_t count, const CpuSet& affinity, uint64_t spare, CpuPlan& plan);

// Gives each vCPU its index, in the order of places, and its APIC id. A machine whose ids would
// pass what KVM takes becomes flat, with a note.
void NumberVcpus(CpuPlan& plan);

// Whether two places of the guest stand to each other as two CPUs of the host do.
bool SameRelation(const VcpuPlan& a, const VcpuPlan& b, const HostCpu& x, const HostCpu& y,
                  Smt smt);

}  // namespace cpu
