#include "vmm/device/uart.h"

#include <unistd.h>

#include <algorithm>

#include "vmm/device/uart_registers.h"

namespace vmm {

void Uart::Read(uint64_t offset, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0xff});
  const std::lock_guard lock(mutex_);
  data[0] = static_cast<std::byte>(ReadLocked(offset));
}

void Uart::Write(uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  WriteLocked(offset, std::to_integer<uint8_t>(data[0]));
}

void Uart::Flush() {
  const std::lock_guard lock(mutex_);
  FlushLocked();
}

uint8_t Uart::ReadLocked(uint64_t offset) {
  const bool latch = (line_control_ & uart::kDivisorLatch) != 0;
  switch (offset) {
    case uart::kData:
      return latch ? divisor_[0] : 0;
    case uart::kInterruptEnable:
      return latch ? divisor_[1] : interrupt_enable_;
    case uart::kInterruptId: {
      const uint8_t fifos = fifos_enabled_ ? uart::kIdFifosEnabled : 0;
      const bool pending = transmit_empty_pending_;
      // PC16550D, 8.6: reading it clears this source.
      transmit_empty_pending_ = false;
      return fifos | (pending ? uart::kIdTransmitEmpty : uart::kIdNone);
    }
    case uart::kLineControl:
      return line_control_;
    case uart::kModemControl:
      return modem_control_;
    case uart::kLineStatus:
      return uart::kTransmitterEmpty;
    case uart::kModemStatus:
      if ((modem_control_ & uart::kLoopback) == 0) return uart::kModemReady;
      // 8.7: in loop-back, RTS shows as CTS, DTR as DSR, OUT1 as RI, OUT2 as DCD.
      return static_cast<uint8_t>((modem_control_ & 0x02) << 3 | (modem_control_ & 0x01) << 5 |
                                  (modem_control_ & 0x0c) << 4);
    case uart::kScratch:
      return scratch_;
    default:
      return 0xff;
  }
}

void Uart::WriteLocked(uint64_t offset, uint8_t value) {
  const bool latch = (line_control_ & uart::kDivisorLatch) != 0;
  switch (offset) {
    case uart::kData:
      if (latch) {
        divisor_[0] = value;
      } else {
        SendLocked(value);
      }
      return;
    case uart::kInterruptEnable: {
      if (latch) {
        divisor_[1] = value;
        return;
      }
      const bool was = (interrupt_enable_ & uart::kEnableTransmitEmpty) != 0;
      interrupt_enable_ = value & uart::kEnableMask;
      // The transmitter is always empty, so enabling the source raises it (8.5).
      if (!was && (interrupt_enable_ & uart::kEnableTransmitEmpty) != 0) {
        transmit_empty_pending_ = true;
        line_.Trigger();
      }
      return;
    }
    case uart::kInterruptId:
      fifos_enabled_ = (value & uart::kFifoEnable) != 0;
      return;
    case uart::kLineControl:
      line_control_ = value;
      return;
    case uart::kModemControl:
      modem_control_ = value & 0x1f;
      return;
    case uart::kScratch:
      scratch_ = value;
      return;
    default:
      return;
  }
}

void Uart::SendLocked(uint8_t value) {
  if ((modem_control_ & uart::kLoopback) == 0) {
    pending_[pending_size_++] = static_cast<char>(value);
    if (value == '\n' || pending_size_ == pending_.size()) FlushLocked();
  }
  if ((interrupt_enable_ & uart::kEnableTransmitEmpty) != 0) {
    transmit_empty_pending_ = true;
    line_.Trigger();
  }
}

void Uart::FlushLocked() {
  const size_t size = pending_size_;
  pending_size_ = 0;
  if (size == 0 || !output_) return;
  // Once, whatever comes of it: EAGAIN and a closed reader both mean that it is dropped.
  [[maybe_unused]] const ssize_t written = write(output_.get(), pending_.data(), size);
}

}  // namespace vmm
