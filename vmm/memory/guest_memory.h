// GuestMemory: the RAM of one guest, and the only way to it.
//
// One shared memfd, so that a vhost-user back end can be handed it: its first part is RAM from
// address 0 up to the 32-bit device hole at 3 GiB, the rest is RAM from 4 GiB up. The guest writes
// this memory at any moment: read control data once, with Load, and judge the copy.
//
// Thread rule: the object is immutable after Create, so thread-safe; the bytes are the guest's too.
// Errors: kOutOfRange for every range that is not wholly inside one region.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "runtime/base/mapped_region.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/memory/checked.h"

namespace vmm {

// A guest node's RAM. The nodes lie one after the other in guest memory.
struct MemoryNode {
  uint64_t bytes = 0;                // whole pages
  std::vector<uint32_t> host_nodes;  // it comes from these alone; empty: as the host likes
};

// A guest physical address. Arithmetic goes through CheckedAdd on `value`.
struct GuestAddress {
  uint64_t value = 0;
  constexpr auto operator<=>(const GuestAddress&) const = default;
};

class GuestMemory {
 public:
  // Where RAM stops below 4 GiB, and where it goes on.
  static constexpr uint64_t kHoleStart = 3ull << 30;
  static constexpr uint64_t kHoleEnd = 4ull << 30;

  struct Region {
    GuestAddress start;
    uint64_t size = 0;
    uint64_t memfd_offset = 0;
    std::byte* host = nullptr;
  };

  // RAM of one guest node.
  struct NodeRange {
    uint32_t node = 0;
    GuestAddress start;
    uint64_t size = 0;
  };

  // `bytes`: a multiple of 4096, not 0. `nodes`: none, or their sizes add up to `bytes`.
  static base::Result<std::unique_ptr<GuestMemory>> Create(uint64_t bytes,
                                                           std::span<const MemoryNode> nodes = {});
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // The bytes behind [address, address + length). Length 0 is fine inside or at the end of a
  // region.
  base::Result<std::span<std::byte>> Slice(GuestAddress address, uint64_t length) const;

  base::Result<void> Read(GuestAddress address, std::span<std::byte> out) const;
  base::Result<void> Write(GuestAddress address, std::span<const std::byte> bytes) const;

  // Write for megabytes of a new guest (its kernel): the kernel copies them into the memfd, which
  // spares a fault and the zeroing of each page. `bytes` may be a file's mapping.
  base::Result<void> Fill(GuestAddress address, std::span<const std::byte> bytes) const;

  // One copy of a T. Unaligned is fine; no atomicity is promised.
  template <class T>
  base::Result<T> Load(GuestAddress address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::span<std::byte> bytes = TRY(Slice(address, sizeof(T)));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    // The copy is the value: the compiler must not read the guest's bytes again later.
    asm volatile("" : : "r"(&value) : "memory");
    return value;
  }
  template <class T>
  base::Result<void> Store(GuestAddress address, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::span<std::byte> bytes = TRY(Slice(address, sizeof(T)));
    std::memcpy(bytes.data(), &value, sizeof(T));
    return base::Ok();
  }

  // In ascending order; one or two.
  std::span<const Region> regions() const { return regions_; }
  // What each node has of each region; empty if Create was given no nodes.
  std::span<const NodeRange> node_ranges() const { return node_ranges_; }
  base::BorrowedFd fd() const { return fd_; }
  uint64_t size() const { return size_; }

 private:
  GuestMemory(base::UniqueFd fd, base::MappedRegion mapping, uint64_t size);
  base::Result<void> PlaceNodes(std::span<const MemoryNode> nodes);

  base::UniqueFd fd_;
  base::MappedRegion mapping_;
  std::vector<Region> regions_;
  std::vector<NodeRange> node_ranges_;
  uint64_t size_;
};

}  // namespace vmm
