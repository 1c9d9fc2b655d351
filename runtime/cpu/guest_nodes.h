// Rule R9: the guest's memory nodes; internal to cpu. Thread rule: reentrant.
#pragma once

#include "runtime/cpu/plan.h"

namespace cpu {

// Divides plan.memory_mib among plan.nodes by the number of vCPUs that boot on each, and fills in
// which host nodes back them and how far they are from each other. A node whose host node is not
// among plan.mems gets its RAM from all of these, with a note.
void ShareMemory(const HostTopology& host, CpuPlan& plan);

}  // namespace cpu
