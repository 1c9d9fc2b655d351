// The guest's physical address map, ports and interrupt pins, all in one place.
//
//   0x0000'0000  boot data: GDT, PVH info, zero page, page tables, command line
//   0x0009'fc00  reserved up to 1 MiB; the ACPI tables lie in it: 0xa0000 to 0xe0000, then the RSDP
//   0x0010'0000  RAM (kernel, initrd at its top) up to 3 GiB
//   0xd000'0000  virtio-mmio, 4 KiB each
//   0xfec0'0000  I/O APIC;  0xfee0'0000 local APICs;  0xfffb'c000 KVM's helper pages
//   0x1'0000'0000  the rest of RAM
#pragma once

#include <cstdint>

namespace vmm::layout {

// Boot data, below 640 KiB. The kernel copies what it needs before it reuses this RAM.
inline constexpr uint64_t kGdt = 0x500;
inline constexpr uint64_t kPvhStartInfo = 0x6000;
inline constexpr uint64_t kPvhModules = 0x6040;
inline constexpr uint64_t kPvhMemoryMap = 0x6080;
inline constexpr uint64_t kZeroPage = 0x7000;
inline constexpr uint64_t kStackTop = 0x8ff0;
inline constexpr uint64_t kPml4 = 0x9000;
inline constexpr uint64_t kPdpt = 0xa000;
inline constexpr uint64_t kPageDirectories = 0xb000;  // 4, one a GiB
inline constexpr uint64_t kCommandLine = 0x20000;
// Linux COMMAND_LINE_SIZE on x86, with the terminating NUL.
inline constexpr uint64_t kCommandLineBytes = 2048;

inline constexpr uint64_t kLowRamEnd = 0x9fc00;
inline constexpr uint64_t kHighRamStart = 0x100000;
// ACPI 6.5, 5.2.5.1: the RSDP may be found by a scan from here, should the boot data not name it.
inline constexpr uint64_t kRsdp = 0xe0000;
inline constexpr uint64_t kAcpiTables = 0xa0000;
inline constexpr uint64_t kAcpiEnd = kRsdp;
// Where a PC's BIOS starts: a guest that jumps there wants to be reset.
inline constexpr uint64_t kBiosEntry = 0xffff0;

inline constexpr uint64_t kVirtioMmio = 0xd0000000;
inline constexpr uint64_t kVirtioMmioBytes = 0x1000;
inline constexpr uint64_t kIoApic = 0xfec00000;
inline constexpr uint64_t kIoApicBytes = 0x1000;
inline constexpr uint64_t kLocalApic = 0xfee00000;
inline constexpr uint64_t kIdentityMap = 0xfffbc000;
inline constexpr uint64_t kTss = 0xfffbd000;

// A guest reads and writes every pin several times when it boots, so there are only as many as the
// machine's devices need, between these: a PC's number, and what KVM reserves for a split irqchip
// (MAX_NR_RESERVED_IOAPIC_PINS).
inline constexpr uint32_t kMinIoApicPins = 24;
inline constexpr uint32_t kMaxIoApicPins = 120;
inline constexpr uint32_t kCom1Pin = 4;
// Of the generic event device: what a PC has there, a second parallel port, is not here.
inline constexpr uint32_t kEventPin = 5;
// Pins 0 to 15 have legacy meanings that some kernels still act on.
inline constexpr uint32_t kFirstVirtioPin = 16;
inline constexpr uint32_t kMaxVirtioDevices = kMaxIoApicPins - kFirstVirtioPin;

inline constexpr uint16_t kCom1Port = 0x3f8;
inline constexpr uint16_t kCom1Ports = 8;
inline constexpr uint16_t kKeyboardCommandPort = 0x64;
// The sleep and reset registers of hardware-reduced ACPI, in this order.
inline constexpr uint16_t kPowerPort = 0x600;
inline constexpr uint16_t kSleepControlPort = kPowerPort;
inline constexpr uint16_t kSleepStatusPort = kPowerPort + 1;
inline constexpr uint16_t kResetPort = kPowerPort + 2;
inline constexpr uint16_t kPowerPorts = 3;
inline constexpr uint8_t kResetValue = 1;
// vmm/device/cpu_hotplug.h.
inline constexpr uint16_t kCpuHotplugPort = 0x620;
inline constexpr uint16_t kCpuHotplugPorts = 16;
// SLP_TYP of \_S5, and what a guest then writes: SLP_EN and the type (ACPI 6.5, 4.8.3.7).
inline constexpr uint8_t kSleepTypeS5 = 5;
inline constexpr uint8_t kSleepEnable = 1 << 5;
inline constexpr unsigned kSleepTypeShift = 2;

}  // namespace vmm::layout
