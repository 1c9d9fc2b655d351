// One guest of a case, from pinion-vmm's start to its end. Thread rule: reentrant; blocks.
#pragma once

#include <chrono>
#include <string>

#include "runtime/base/result.h"
#include "tests/topology/cases.h"

namespace topology {

struct BootOptions {
  std::string vmm;
  std::string kernel;
  std::string initrd;
  bool amd = false;    // else Intel: what the guest is shown
  bool talks = false;  // the kernel writes to the console too
  std::string directory;
  std::chrono::seconds limit{300};
};

// What the guest wrote to its serial line. Also looks at the host's side: the RAM of each of the
// guest's nodes must be bound to a node of this host (`host_nodes` of them, taken in turn).
base::Result<std::string> Boot(const BootOptions& options, const Case& planned,
                               uint32_t host_nodes);

}  // namespace topology
