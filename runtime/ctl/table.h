// A plan for people. Thread rule: reentrant.
#pragma once

#include <string>

#include "runtime/cpu/plan.h"

namespace ctl {

// Each figure with its reason, the vCPUs as a table, the notes.
std::string PlanTable(const cpu::CpuPlan& plan);

}  // namespace ctl
