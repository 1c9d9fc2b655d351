// What a guest said of its CPUs (guest_init.cc), and whether it is what was planned.
// Thread rule: reentrant.
#pragma once

#include <string>

#include "runtime/base/result.h"
#include "tests/topology/cases.h"

namespace topology {

// An error names the first relation that differs. Id numbers are not compared, only who shares
// what: kernels number packages, dies and cores each in their own way.
base::Result<void> Compare(const Case& planned, const std::string& dump);

}  // namespace topology
