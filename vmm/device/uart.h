// Uart: a 16550 that only sends. What the guest sends goes to a descriptor a line at a time; what
// that does not take at once is dropped, for no guest may wait for a reader, nor fill our memory.
//
// The divisor is stored and means nothing. There is no input: the receive side is never ready.
// Thread rule: thread-safe (one mutex). Ownership: owns the descriptor, borrows the line.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>

#include "runtime/base/unique_fd.h"
#include "vmm/bus/device.h"
#include "vmm/bus/irq_line.h"

namespace vmm {

class Uart : public BusDevice {
 public:
  // `output` may be invalid: everything is dropped. Whoever made it made it non-blocking.
  Uart(base::UniqueFd output, IrqLine& line) : output_(std::move(output)), line_(line) {}
  ~Uart() override { Flush(); }

  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;
  // Sends an unfinished line.
  void Flush();

 private:
  uint8_t ReadLocked(uint64_t offset);
  void WriteLocked(uint64_t offset, uint8_t value);
  void SendLocked(uint8_t value);
  void FlushLocked();

  const base::UniqueFd output_;
  IrqLine& line_;
  std::mutex mutex_;
  // All guarded by mutex_.
  uint8_t interrupt_enable_ = 0;
  bool transmit_empty_pending_ = false;
  bool fifos_enabled_ = false;
  uint8_t line_control_ = 0;
  uint8_t modem_control_ = 0;
  uint8_t scratch_ = 0;
  std::array<uint8_t, 2> divisor_ = {12, 0};  // 9600 baud
  std::array<char, 256> pending_;
  size_t pending_size_ = 0;
};

}  // namespace vmm
