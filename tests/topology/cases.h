// Machines to boot: the worked cases of runtime/cpu's README and random CPU sets of random hosts,
// each by its number, so that one that failed can be made again. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cpu/plan.h"

namespace topology {

struct Case {
  std::string text;  // what was asked of which host
  cpu::CpuPlan plan;
  // Between the guest's nodes; at least one row.
  std::vector<std::vector<uint32_t>> distances;
};

// Every fourth number is a worked case, in turn; the others come from `seed` and the number.
base::Result<Case> MakeCase(uint64_t seed, uint32_t number);

}  // namespace topology
