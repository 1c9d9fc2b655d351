// From the names that a source gives its groups to a topology whose groups nest and are numbered
// densely; internal to cpu. Thread rule: reentrant.
#pragma once

#include "runtime/cpu/topology.h"

namespace cpu {

// Sorts host.cpus by id and renumbers every level in the order of the names found there. A group is
// named within its parent, but l1, l2 and l3 in the machine. Where a cache cuts through a core or
// reaches over two dies, the simplest level that nests takes its place, with a note: no guest can
// be told of such a cache (seen under QEMU, CPU model EPYC-Rome).
void Arrange(HostTopology& host);

}  // namespace cpu
