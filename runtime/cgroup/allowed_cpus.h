// Which CPUs a cgroup leaves its members. Thread rule: reentrant.
#pragma once

#include <string>

#include "runtime/cgroup/hierarchy.h"

namespace cgroup {

// The list, in the format of cpuset(7), that is in force for `path` (below the root of a hierarchy)
// or, where that or its cpuset files are not there yet, for its nearest ancestor that has them. v1
// and v2; "" where there is no cpuset controller.
std::string AllowedCpus(const std::string& path,
                        const Hierarchies& hierarchies = Hierarchies::Host());

}  // namespace cgroup
