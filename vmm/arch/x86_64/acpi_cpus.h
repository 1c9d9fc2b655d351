// The part of the DSDT that lets CPUs come and go: a device for each CPU of the possible machine,
// the registers of vmm/device/cpu_hotplug.h, and a generic event device whose interrupt says that
// there is something to look at. Stock kernels need no more. Thread rule: reentrant.
#pragma once

#include <cstddef>
#include <string>

#include "vmm/topology/guest_topology.h"

namespace vmm {

// For the scope \_SB. `several_nodes`: each CPU says its node (_PXM).
std::string CpuHotplugAml(const GuestTopology& topology, bool several_nodes);

}  // namespace vmm
