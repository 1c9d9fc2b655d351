#include "vmm/memory/guest_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "vmm/memory/bind_nodes.h"

namespace vmm {

namespace {
constexpr uint64_t kPageBytes = 4096;
// x86 and arm64 guests see at most 48 address bits of us, and off_t is signed.
constexpr uint64_t kMaxBytes = 1ull << 46;
}  // namespace

base::Result<std::unique_ptr<GuestMemory>> GuestMemory::Create(uint64_t bytes,
                                                               std::span<const MemoryNode> nodes) {
  if (bytes == 0 || bytes % kPageBytes != 0 || bytes > kMaxBytes) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "guest memory of {} bytes: must be whole 4 KiB pages, at most 64 TiB",
                           bytes);
  }
  base::UniqueFd fd(memfd_create("guest-memory", MFD_CLOEXEC));
  if (!fd) return base::ErrnoError("memfd_create for guest memory");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return base::ErrnoError("size guest memory to {} bytes", bytes);
  }
  // NORESERVE: pages are charged to the pod when touched, not when the guest is made.
  base::MappedRegion mapping = TRY(base::MappedRegion::Map(
      fd, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE));
  // A core file of the vmm must not carry the tenant's memory.
  if (madvise(mapping.data(), mapping.size(), MADV_DONTDUMP) != 0) {
    return base::ErrnoError("keep guest memory out of core files");
  }
  std::unique_ptr<GuestMemory> memory(new GuestMemory(std::move(fd), std::move(mapping), bytes));
  TRY(memory->PlaceNodes(nodes));
  return memory;
}

GuestMemory::GuestMemory(base::UniqueFd fd, base::MappedRegion mapping, uint64_t size)
    : fd_(std::move(fd)), mapping_(std::move(mapping)), size_(size) {
  const uint64_t low = std::min(size, kHoleStart);
  regions_.push_back({GuestAddress{0}, low, 0, mapping_.data()});
  if (size > low) {
    regions_.push_back({GuestAddress{kHoleEnd}, size - low, low, mapping_.data() + low});
  }
}

base::Result<void> GuestMemory::PlaceNodes(std::span<const MemoryNode> nodes) {
  uint64_t start = 0;  // in the memfd
  for (uint32_t number = 0; number < nodes.size(); ++number) {
    const MemoryNode& node = nodes[number];
    if (node.bytes % kPageBytes != 0 || node.bytes > size_ - start) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "guest node {} of {} bytes: {} of {} bytes are left, in whole pages",
                             number, node.bytes, size_ - start, size_);
    }
    TRY(BindToHostNodes({mapping_.data() + start, static_cast<size_t>(node.bytes)},
                        node.host_nodes),
        "guest node {}", number);
    const uint64_t end = start + node.bytes;
    for (const Region& region : regions_) {
      const uint64_t from = std::max(start, region.memfd_offset);
      const uint64_t to = std::min(end, region.memfd_offset + region.size);
      if (from >= to) continue;
      node_ranges_.push_back(
          {number, GuestAddress{region.start.value + from - region.memfd_offset}, to - from});
    }
    start = end;
  }
  if (!nodes.empty() && start != size_) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "guest nodes: {} bytes of {} belong to none", size_ - start, size_);
  }
  return base::Ok();
}

base::Result<std::span<std::byte>> GuestMemory::Slice(GuestAddress address, uint64_t length) const {
  for (const Region& region : regions_) {
    if (address < region.start) continue;
    const uint64_t offset = address.value - region.start.value;
    if (offset > region.size || length > region.size - offset) continue;
    return std::span<std::byte>(region.host + offset, static_cast<size_t>(length));
  }
  return base::MakeError(base::Code::kOutOfRange, "guest range {:#x}+{:#x} is not in RAM",
                         address.value, length);
}

base::Result<void> GuestMemory::Read(GuestAddress address, std::span<std::byte> out) const {
  const std::span<std::byte> bytes = TRY(Slice(address, out.size()));
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size());
  return base::Ok();
}

base::Result<void> GuestMemory::Write(GuestAddress address, std::span<const std::byte> from) const {
  const std::span<std::byte> bytes = TRY(Slice(address, from.size()));
  if (!from.empty()) std::memcpy(bytes.data(), from.data(), from.size());
  return base::Ok();
}

base::Result<void> GuestMemory::Fill(GuestAddress address, std::span<const std::byte> from) const {
  const std::span<std::byte> target = TRY(Slice(address, from.size()));
  // The regions follow each other in the mapping as in the memfd.
  const off_t offset = target.data() - mapping_.data();
  size_t done = 0;
  while (done < from.size()) {
    const ssize_t count = pwrite(fd_.get(), from.data() + done, from.size() - done,
                                 offset + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return base::ErrnoError("write guest memory at {:#x}", address.value + done);
    done += static_cast<size_t>(count);
  }
  return base::Ok();
}

}  // namespace vmm
