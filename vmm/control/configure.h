// The shim's CreateVm, Configure and PlugNet messages: Configure becomes a MachineConfig. The shim
// is trusted, but its messages are checked all the same: indices, limits, enums. Thread rule:
// reentrant.
#pragma once

#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/machine.h"

namespace pinion::vmm::v1 {
class Configure;
class CreateVm;
class PlugNet;
}  // namespace pinion::vmm::v1

namespace vmm {

// /dev/kvm, out of `fds`. kInvalidArgument, naming the field.
base::Result<base::UniqueFd> ReadCreateVm(const pinion::vmm::v1::CreateVm& message,
                                          std::vector<base::UniqueFd> fds);

// Takes the descriptors that the message names out of `fds`. kInvalidArgument, naming the field.
base::Result<MachineConfig> ReadConfigure(const pinion::vmm::v1::Configure& message,
                                          std::vector<base::UniqueFd> fds);

// The card, likewise.
base::Result<NetConfig> ReadPlugNet(const pinion::vmm::v1::PlugNet& message,
                                    std::vector<base::UniqueFd> fds);

}  // namespace vmm
