// CpuResize: adding and removing CPUs of a machine that runs, one request at a time.
//
//   Add:    the vCPU runs (it waits for its guest's INIT) ─► event ─► the guest reports: done, or
//   the
//           CPU is withdrawn
//   Remove: event ─► the guest ejects (done: the vCPU is parked and forgets) or reports a refusal
//
// The guest may take its time, or never answer; nobody waits here, and the request stays open.
//
// Thread rule: bound to the reactor, but for OnEject and OnReport, which are thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "vmm/cpu/vcpu_set.h"
#include "vmm/device/cpu_hotplug.h"

namespace vmm {

class CpuResize {
 public:
  // `cpus`: those that came, or went. The error names the others and what the guest said.
  using Done = std::function<void(base::Result<void> result, std::vector<uint32_t> cpus)>;

  // All are borrowed.
  CpuResize(base::EventLoop& loop, CpuHotplug& device, VcpuSet& vcpus)
      : loop_(loop), device_(device), vcpus_(vcpus) {}

  // An error says that nothing was begun, and `done` is not called; else it is called once.
  base::Result<void> Add(std::span<const uint32_t> cpus, Done done);
  base::Result<void> Remove(std::span<const uint32_t> cpus, Done done);

  void OnEject(uint32_t cpu);
  void OnReport(uint32_t cpu, uint32_t event, uint32_t status);

 private:
  struct Request {
    bool adds = false;
    std::set<uint32_t> waiting;
    std::vector<uint32_t> changed;
    std::string refused;  // "CPU 3: status 0x82", …
    Done done;
  };

  base::Result<void> Check(std::span<const uint32_t> cpus, bool present) const;
  void Begin(std::span<const uint32_t> cpus, bool adds, Done done);
  void Settle(uint32_t cpu, bool ejected, uint32_t status);

  base::EventLoop& loop_;
  CpuHotplug& device_;
  VcpuSet& vcpus_;
  std::optional<Request> request_;
  std::atomic<size_t> reports_ = 0;  // that wait for the reactor
  // Posted tasks look here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace vmm
