// From the shim's Configure message to a MachineConfig. The shim is trusted, but its message is
// checked all the same: indices, limits, enums. Thread rule: reentrant.
#pragma once

#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/machine.h"

namespace pinion::vmm::v1 {
class Configure;
}

namespace vmm {

// Takes the descriptors that the message names out of `fds`. kInvalidArgument, naming the field.
base::Result<MachineConfig> ReadConfigure(const pinion::vmm::v1::Configure& message,
                                          std::vector<base::UniqueFd> fds);

}  // namespace vmm
