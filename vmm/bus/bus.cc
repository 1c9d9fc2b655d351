#include "vmm/bus/bus.h"

#include <algorithm>

namespace vmm {

base::Result<void> Bus::Insert(uint64_t start, uint64_t length, BusDevice& device) {
  if (length == 0 || start + (length - 1) < start) {
    return base::MakeError(base::Code::kInvalidArgument, "bus range {:#x}+{:#x} is empty or wraps",
                           start, length);
  }
  const auto next =
      std::lower_bound(ranges_.begin(), ranges_.end(), start,
                       [](const Range& range, uint64_t address) { return range.start < address; });
  const bool hits_next = next != ranges_.end() && next->start - start < length;
  const bool hits_previous =
      next != ranges_.begin() && start - std::prev(next)->start < std::prev(next)->length;
  if (hits_next || hits_previous) {
    return base::MakeError(base::Code::kAlreadyExists, "bus range {:#x}+{:#x} overlaps another",
                           start, length);
  }
  ranges_.insert(next, Range{start, length, &device});
  return base::Ok();
}

const Bus::Range* Bus::Find(uint64_t address, uint64_t length) const {
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), address,
                       [](uint64_t wanted, const Range& range) { return wanted < range.start; });
  if (after == ranges_.begin()) return nullptr;
  const Range& range = *std::prev(after);
  const uint64_t offset = address - range.start;
  if (offset >= range.length || length > range.length - offset) return nullptr;
  return &range;
}

bool Bus::Read(uint64_t address, std::span<std::byte> data) const {
  const Range* range = Find(address, data.size());
  if (range == nullptr) {
    std::fill(data.begin(), data.end(), std::byte{0xff});
    return false;
  }
  range->device->Read(address - range->start, data);
  return true;
}

bool Bus::Write(uint64_t address, std::span<const std::byte> data) const {
  const Range* range = Find(address, data.size());
  if (range == nullptr) return false;
  range->device->Write(address - range->start, data);
  return true;
}

}  // namespace vmm
