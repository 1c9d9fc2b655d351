// A plan as JSON, for `pinionctl cpu plan --json` and the record of a pod. Thread rule: reentrant.
#pragma once

#include <string>

#include "runtime/cpu/plan.h"

namespace oci {
class JsonWriter;
}

namespace cpu {

// One object: vcpus (index, id, package, die, cluster, core, thread, l2, l3, node, host_cpu or
// null, affinity), mode, cpu_max ("QUOTA PERIOD" as in cgroup v2, or null), weight or null, mems,
// memory_mib, housekeeping, grow, notes (code, text). Lists are those of cpuset(7).
void WritePlan(const CpuPlan& plan, oci::JsonWriter& json);
std::string PlanToJson(const CpuPlan& plan);

}  // namespace cpu
