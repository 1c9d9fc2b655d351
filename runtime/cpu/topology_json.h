// The host's topology as JSON, for hosts that are not this one:
//   {"cpus":[{"id":0,"package":0,"die":0,"cluster":0,"core":0,"thread":0,"l2":0,"l3":0,"node":0}…],
//    "nodes":[{"id":0,"memory_mib":65536,"distances":[10,20]}…]}
// `core` is unique within the package, l2 and l3 in the machine. A CPU may also carry "l1",
// "isolated" and "online" (offline ones are passed over). Only "id" must be there: a level that no
// CPU names degrades as a missing file of sysfs does, with a note.
//
// Trust: whoever wrote the file; sizes and numbers are bounded. Thread rule: reentrant.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/cpu/topology.h"

namespace cpu {

constexpr size_t kMaxTopologyJsonBytes = 16 << 20;

// kInvalidArgument naming the field, its value and the rule.
base::Result<HostTopology> ReadTopologyJson(std::string_view json);
std::string WriteTopologyJson(const HostTopology& host);

// A directory shaped like /sys/devices/system, or a JSON file.
base::Result<HostTopology> ReadHost(const std::string& path);

}  // namespace cpu
