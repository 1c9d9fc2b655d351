// Bus: finds the device behind a port or an address. One for ports, one for memory.
//
// Thread rule: Insert before any vCPU runs; from then on it is immutable, and Read and Write are
// thread-safe without a lock. Ownership: borrows its devices, which must outlive the vCPU threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/result.h"
#include "vmm/bus/device.h"

namespace vmm {

class Bus {
 public:
  // kInvalidArgument if [start, start + length) is empty or wraps, kAlreadyExists if it overlaps.
  base::Result<void> Insert(uint64_t start, uint64_t length, BusDevice& device);

  // False if no device has the whole range: the data is then all ones, as on a real bus.
  bool Read(uint64_t address, std::span<std::byte> data) const;
  // False if no device has the whole range: the write then went nowhere.
  bool Write(uint64_t address, std::span<const std::byte> data) const;

 private:
  struct Range {
    uint64_t start;
    uint64_t length;
    BusDevice* device;
  };
  const Range* Find(uint64_t address, uint64_t length) const;

  std::vector<Range> ranges_;  // sorted by start, disjoint
};

}  // namespace vmm
