// Memory on chosen nodes of the host. Thread rule: reentrant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/result.h"

namespace vmm {

// Node numbers a kernel can have (MAX_NUMNODES of the largest configuration).
inline constexpr uint32_t kMaxHostNodes = 1024;

// Pages of this shared mapping that nobody has touched yet will come from `nodes` alone, whoever
// touches them: of a memfd the file keeps the policy, so it holds for KVM, for writes to the memfd
// and for a back end that maps it. Does nothing for an empty list. kInvalidArgument for a node that
// cannot be; the kernel's own reason for one that is absent or outside our cpuset.
base::Result<void> BindToHostNodes(std::span<std::byte> mapping, std::span<const uint32_t> nodes);

}  // namespace vmm
