// KVM's structures of a header and as many entries as it says.
//
// The kernel's own declarations of them are not used: linux/kvm.h of Linux 6.1 declares the entries
// by a macro that in C++ makes the header 12 bytes instead of 8, and with it wrong ioctl numbers.
#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace vmm::kvm {

// kvm_cpuid2, kvm_msrs and kvm_irq_routing all start with a count and one more word.
struct TableHeader {
  uint32_t count;
  uint32_t flags;
};
static_assert(sizeof(TableHeader) == 8);

inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, TableHeader);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, TableHeader);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, TableHeader);
inline constexpr unsigned long kSetGsiRouting = _IOW(KVMIO, 0x6a, TableHeader);

template <class Entry>
class Table {
 public:
  explicit Table(size_t count) : bytes_((sizeof(TableHeader) + count * sizeof(Entry) + 7) / 8) {
    const TableHeader header = {static_cast<uint32_t>(count), 0};
    std::memcpy(bytes_.data(), &header, sizeof(header));
  }
  explicit Table(std::span<const Entry> entries) : Table(entries.size()) {
    if (!entries.empty()) std::memcpy(bytes_.data() + 1, entries.data(), entries.size_bytes());
  }

  uint64_t* data() { return bytes_.data(); }
  // What the kernel left: at most as many as there was room for.
  std::vector<Entry> entries() const {
    TableHeader header;
    std::memcpy(&header, bytes_.data(), sizeof(header));
    const size_t room = (bytes_.size() * 8 - sizeof(header)) / sizeof(Entry);
    std::vector<Entry> out(std::min<size_t>(header.count, room));
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + 1, out.size() * sizeof(Entry));
    return out;
  }

 private:
  std::vector<uint64_t> bytes_;  // of 8 bytes each, for alignment
};

}  // namespace vmm::kvm
