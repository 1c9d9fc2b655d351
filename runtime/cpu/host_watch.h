// Hears of CPUs of the host that go on- or offline, by the kernel's uevents (netlink(7),
// NETLINK_KOBJECT_UEVENT): the kernel then rewrites masks and cpusets, which are to be set again.
//
// Trust: only messages of the kernel itself count. Thread rule: bound to the loop's thread.
// Ownership: its callback is not called once it is gone.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"

namespace cpu {

// Whether `message`, strings that each end with a zero byte, tells of a CPU.
bool IsCpuEvent(std::string_view message);

class HostWatch {
 public:
  // `changed` is called once for any number of changes that came together.
  static base::Result<std::unique_ptr<HostWatch>> Create(base::EventLoop& loop,
                                                         std::function<void()> changed);
  HostWatch(const HostWatch&) = delete;
  HostWatch& operator=(const HostWatch&) = delete;

 private:
  explicit HostWatch(std::function<void()> changed) : changed_(std::move(changed)) {}
  void OnEvents();

  std::function<void()> changed_;
  base::UniqueFd socket_;
  base::Watch watch_;
};

}  // namespace cpu
