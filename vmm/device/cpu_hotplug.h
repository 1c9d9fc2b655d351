// CpuHotplug: the registers by which a guest's ACPI code learns which CPUs are there, which come
// and go, and says what became of it (arch/x86_64/acpi_cpus.cc is that code).
//
//   offset  bytes
//     0       4    read: the lowest CPU with an event, or kNoCpu; write: selects a CPU
//     4       1    of the selected CPU; read: kPresent, kInsertEvent, kRemoveEvent;
//                  write: kInsertEvent and kRemoveEvent take the event back, kEject ejects
//     8       4    write: the event that a report is about (ACPI 6.5, 6.3.5, "_OST")
//    12       4    write: its status; reports
//
// The guest is not asked what it may do: a CPU that nobody asked back cannot be ejected, nor can
// the one that booted.
//
// Thread rule: thread-safe; the callbacks run on a vCPU thread, without the mutex held.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "vmm/bus/device.h"
#include "vmm/bus/irq_line.h"

namespace vmm {

class CpuHotplug : public BusDevice {
 public:
  static constexpr uint32_t kNoCpu = 0xffffffff;
  static constexpr uint8_t kPresent = 1 << 0;
  static constexpr uint8_t kInsertEvent = 1 << 1;
  static constexpr uint8_t kRemoveEvent = 1 << 2;
  static constexpr uint8_t kEject = 1 << 3;
  static constexpr uint64_t kBytes = 16;

  struct Events {
    // The guest has let go of a CPU that it was asked for.
    std::function<void(uint32_t cpu)> on_eject;
    std::function<void(uint32_t cpu, uint32_t event, uint32_t status)> on_report;
  };

  // `cpus` of the possible machine, the first `present` of which are there.
  CpuHotplug(size_t cpus, size_t present, Events events);
  // Where an event is announced. Before the guest runs.
  void Connect(IrqLine& line) { line_ = &line; }

  bool present(uint32_t cpu) const;
  // It is there from now on, and the guest is told.
  void Insert(uint32_t cpu);
  // The guest is asked to let go of it.
  void RequestRemoval(uint32_t cpu);
  // The guest did not want what was inserted: it is not there, and never was.
  void Withdraw(uint32_t cpu);

  void Read(uint64_t offset, std::span<std::byte> data) override;
  void Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  struct Cpu {
    bool present = false;
    bool insert_event = false;
    bool remove_event = false;
    bool may_eject = false;
  };

  uint32_t NextEvent() const;
  uint8_t Flags() const;
  // True: the selected CPU has been ejected.
  bool WriteFlags(uint8_t flags);

  const Events events_;
  IrqLine* line_ = nullptr;

  mutable std::mutex mutex_;
  std::vector<Cpu> cpus_;  // guarded by mutex_
  uint32_t selected_ = 0;  // guarded by mutex_; below cpus_.size()
  uint32_t reported_ = 0;  // guarded by mutex_
};

}  // namespace vmm
