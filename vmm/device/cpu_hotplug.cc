#include "vmm/device/cpu_hotplug.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vmm {

namespace {
constexpr uint64_t kSelector = 0;
constexpr uint64_t kFlags = 4;
constexpr uint64_t kReportEvent = 8;
constexpr uint64_t kReportStatus = 12;
}  // namespace

CpuHotplug::CpuHotplug(size_t cpus, size_t present, Events events)
    : events_(std::move(events)), cpus_(cpus) {
  for (size_t i = 0; i < present; ++i) cpus_[i].present = true;
}

bool CpuHotplug::present(uint32_t cpu) const {
  const std::lock_guard lock(mutex_);
  return cpus_[cpu].present;
}

void CpuHotplug::Insert(uint32_t cpu) {
  {
    const std::lock_guard lock(mutex_);
    cpus_[cpu] = {.present = true, .insert_event = true};
  }
  line_->Trigger();
}

void CpuHotplug::RequestRemoval(uint32_t cpu) {
  {
    const std::lock_guard lock(mutex_);
    cpus_[cpu].remove_event = cpus_[cpu].may_eject = true;
  }
  line_->Trigger();
}

void CpuHotplug::Withdraw(uint32_t cpu) {
  const std::lock_guard lock(mutex_);
  cpus_[cpu] = {};
}

uint32_t CpuHotplug::NextEvent() const {
  for (size_t i = 0; i < cpus_.size(); ++i) {
    if (cpus_[i].insert_event || cpus_[i].remove_event) return static_cast<uint32_t>(i);
  }
  return kNoCpu;
}

uint8_t CpuHotplug::Flags() const {
  const Cpu& cpu = cpus_[selected_];
  return static_cast<uint8_t>((cpu.present ? kPresent : 0) | (cpu.insert_event ? kInsertEvent : 0) |
                              (cpu.remove_event ? kRemoveEvent : 0));
}

bool CpuHotplug::WriteFlags(uint8_t flags) {
  Cpu& cpu = cpus_[selected_];
  if ((flags & kInsertEvent) != 0) cpu.insert_event = false;
  if ((flags & kRemoveEvent) != 0) cpu.remove_event = false;
  if ((flags & kEject) == 0 || !cpu.present || !cpu.may_eject || selected_ == 0) return false;
  cpu = {};
  return true;
}

void CpuHotplug::Read(uint64_t offset, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0});
  const std::lock_guard lock(mutex_);
  if (offset == kSelector && data.size() == sizeof(uint32_t)) {
    const uint32_t next = NextEvent();
    std::memcpy(data.data(), &next, sizeof(next));
  }
  if (offset == kFlags) data[0] = std::byte{Flags()};
}

void CpuHotplug::Write(uint64_t offset, std::span<const std::byte> data) {
  uint32_t value = 0;
  std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
  std::unique_lock lock(mutex_);
  const uint32_t cpu = selected_;
  if (offset == kSelector && value < cpus_.size()) {
    selected_ = value;
  } else if (offset == kFlags && WriteFlags(static_cast<uint8_t>(value))) {
    lock.unlock();
    events_.on_eject(cpu);
  } else if (offset == kReportEvent) {
    reported_ = value;
  } else if (offset == kReportStatus) {
    const uint32_t event = reported_;
    lock.unlock();
    events_.on_report(cpu, event, value);
  }
}

}  // namespace vmm
