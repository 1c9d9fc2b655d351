// BusDevice: what answers a guest's access to a range of ports or of memory-mapped registers.
//
// Thread rule: called on vCPU threads, several at once; a device says how it locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmm {

class BusDevice {
 public:
  virtual ~BusDevice() = default;
  // `offset` is from the start of the device's range; offset + data.size() never passes its end.
  // data has 1, 2, 4 or 8 bytes. Read must fill all of it.
  virtual void Read(uint64_t offset, std::span<std::byte> data) = 0;
  virtual void Write(uint64_t offset, std::span<const std::byte> data) = 0;
};

}  // namespace vmm
