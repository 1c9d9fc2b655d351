#include "vmm/memory/bind_nodes.h"

#include <fmt/ranges.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

namespace vmm {

base::Result<void> BindToHostNodes(std::span<std::byte> mapping, std::span<const uint32_t> nodes) {
  if (nodes.empty()) return base::Ok();
  constexpr size_t kWordBits = sizeof(unsigned long) * CHAR_BIT;
  std::array<unsigned long, kMaxHostNodes / kWordBits> mask = {};
  for (const uint32_t node : nodes) {
    if (node >= kMaxHostNodes) {
      return base::MakeError(base::Code::kInvalidArgument, "host node {}: must be below {}", node,
                             kMaxHostNodes);
    }
    mask[node / kWordBits] |= 1ul << node % kWordBits;
  }
  // mbind(2): the kernel takes one bit less than it is told.
  if (syscall(SYS_mbind, mapping.data(), mapping.size(), MPOL_BIND, mask.data(), kMaxHostNodes + 1,
              0) == 0) {
    return base::Ok();
  }
  // A kernel without NUMA has node 0 alone: what was asked is so.
  if (errno == ENOSYS && nodes.size() == 1 && nodes[0] == 0) return base::Ok();
  return base::ErrnoError("bind guest memory to host nodes {}", fmt::join(nodes, ","));
}

}  // namespace vmm
