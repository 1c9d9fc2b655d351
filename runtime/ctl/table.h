// A plan for people. Thread rule: reentrant.
#pragma once

#include <string>
#include <vector>

#include "runtime/cpu/plan.h"

namespace ctl {

// Each figure with its reason, the vCPUs as a table, the notes.
std::string PlanTable(const cpu::CpuPlan& plan);

// Columns as wide as their widest entry, the first row being the heads; the last reads from its
// left.
void AppendTable(const std::vector<std::vector<std::string>>& rows, std::string& text);

}  // namespace ctl
