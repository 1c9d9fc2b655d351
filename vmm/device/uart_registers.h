// Numbers of the 16550 (National Semiconductor PC16550D, 8.0 "Registers").
#pragma once

#include <cstdint>

namespace vmm::uart {

inline constexpr uint64_t kData = 0;             // or divisor low, with DLAB
inline constexpr uint64_t kInterruptEnable = 1;  // or divisor high, with DLAB
inline constexpr uint64_t kInterruptId = 2;      // write: FIFO control
inline constexpr uint64_t kLineControl = 3;
inline constexpr uint64_t kModemControl = 4;
inline constexpr uint64_t kLineStatus = 5;
inline constexpr uint64_t kModemStatus = 6;
inline constexpr uint64_t kScratch = 7;

inline constexpr uint8_t kEnableTransmitEmpty = 1 << 1;
inline constexpr uint8_t kEnableMask = 0x0f;
inline constexpr uint8_t kIdNone = 0x01;
inline constexpr uint8_t kIdTransmitEmpty = 0x02;
inline constexpr uint8_t kIdFifosEnabled = 0xc0;
inline constexpr uint8_t kFifoEnable = 1 << 0;
inline constexpr uint8_t kDivisorLatch = 1 << 7;
inline constexpr uint8_t kLoopback = 1 << 4;
inline constexpr uint8_t kTransmitterEmpty = 0x60;  // holding register and shift register
inline constexpr uint8_t kModemReady = 0xb0;        // carrier, data set ready, clear to send

}  // namespace vmm::uart
