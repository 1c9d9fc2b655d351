// A tap: a link whose other end is a descriptor (Linux Documentation/networking/tuntap.rst).
// Thread rule: acts in the calling thread's network namespace.
#pragma once

#include <string>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace network {

// A new tap that goes when the descriptor is closed for the last time: IFF_NO_PI, and IFF_VNET_HDR
// with virtio's header of 12 bytes. kAlreadyExists if the name is taken.
base::Result<base::UniqueFd> MakeTap(const std::string& name);

}  // namespace network
