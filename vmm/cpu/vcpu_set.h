// VcpuSet: all vCPUs of a machine, started, paused and stopped together.
//
// A guest's device access may wait for the reactor, so the reactor never waits for vCPUs: it asks,
// and is told by a callback when the last one rests.
//
// A machine may have vCPUs that are not plugged: their threads wait until they are.
//
// Thread rule: Add, Realise and the destructor on the owner's thread; the rest is thread-safe. The
// callbacks run on a vCPU thread (or on the caller's, if nothing had to be waited for).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "vmm/cpu/vcpu.h"

namespace vmm {

class VcpuSet {
 public:
  struct Options {
    const Bus& ports;
    const Bus& memory;
    std::function<base::Result<void>()> on_thread_start;
    // Once, when the machine was stopped and the last vCPU has ended.
    std::function<void(const Stop&)> on_stopped;
  };

  explicit VcpuSet(Options options);
  // Ends and joins all threads before it lets go of any vCPU: a thread that comes to rest looks at
  // all of them.
  ~VcpuSet();
  VcpuSet(const VcpuSet&) = delete;
  VcpuSet& operator=(const VcpuSet&) = delete;

  // `plugged`: it runs when the machine does.
  void Add(kvm::VcpuFd fd, bool plugged = true);
  // Process-wide: the handler of the signal that kicks vCPUs. Before Realise.
  static base::Result<void> Prepare() { return Vcpu::InstallKickHandler(); }
  // Starts every thread; when it returns, all of them wait.
  base::Result<void> Realise();

  void Run();
  // It runs with the others from now on, at once if they do.
  void Plug(size_t index);
  // It parks and stays so, its state forgotten. Returns at once.
  void Unplug(size_t index);
  // Calls `done` when every vCPU is parked. kFailedPrecondition while another pause is waited for.
  base::Result<void> Pause(std::function<void()> done);
  // Ends every vCPU; only the first call counts.
  void StopAll(Stop stop);

  size_t size() const { return vcpus_.size(); }
  Vcpu& vcpu(size_t index) { return *vcpus_[index]; }
  // Exits of all vCPUs by kind, zeros left out.
  std::map<std::string, uint64_t> ExitCounts() const;

 private:
  void OnRest();

  const Options options_;
  const Vcpu::Environment environment_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;

  std::mutex mutex_;
  std::vector<bool> plugged_;         // guarded by mutex_
  bool running_ = false;              // guarded by mutex_
  bool stopping_ = false;             // guarded by mutex_
  bool stopped_told_ = false;         // guarded by mutex_
  Stop stop_;                         // guarded by mutex_
  std::function<void()> pause_done_;  // guarded by mutex_
};

}  // namespace vmm
