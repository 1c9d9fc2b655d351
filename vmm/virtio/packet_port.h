// PacketPort: where a network device's frames go to and come from. TapPort in production, a socket
// in tests.
//
// Each read(2) and write(2) of the descriptor is one frame behind a NetHeader (virtio 1.2,
// 5.1.6), in the guest's byte order, which is the host's.
// Thread rule: reactor-bound.
#pragma once

#include <memory>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace vmm::virtio {

class PacketPort {
 public:
  virtual ~PacketPort() = default;
  // Non-blocking.
  virtual base::BorrowedFd fd() const = 0;
  // What frames read from it may leave to their receiver: TUN_F_* of <linux/if_tun.h>.
  virtual base::Result<void> SetOffloads(unsigned offloads) = 0;
};

// A tap that came from the shim; kInvalidArgument if it is something else, or set up otherwise.
base::Result<std::unique_ptr<PacketPort>> MakeTapPort(base::UniqueFd tap);

}  // namespace vmm::virtio
