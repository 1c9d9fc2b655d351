// Vcpu: one vCPU and the host thread that runs it, named "vcpu<index>".
//
// Thread rule: Realise and the destructor on one thread, the owner's; Request and the getters are
// thread-safe. The environment's callbacks run on the vCPU's thread, without its mutex held.
// Nothing that a guest does here aborts: what cannot go on becomes a Stop.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "runtime/base/result.h"
#include "vmm/bus/bus.h"
#include "vmm/cpu/exits.h"
#include "vmm/kvm/vcpu_fd.h"

namespace vmm {

class Vcpu {
 public:
  enum class State { kNew, kParked, kRunning, kEnded };
  // kUnplug: park, and wait for INIT when it runs again.
  enum class Wish { kPark, kUnplug, kRun, kEnd };

  // Borrowed for the life of the vCPU.
  struct Environment {
    const Bus& ports;
    const Bus& memory;
    // First thing on the thread: the seccomp filter. An error fails Realise.
    std::function<base::Result<void>()> on_thread_start;
    // The guest ended, or can go no further. Also called by devices, by way of the machine.
    std::function<void(Stop)> on_stop;
    // It has just become kParked (after it ran) or kEnded.
    std::function<void(State)> on_rest;
  };

  Vcpu(uint32_t index, kvm::VcpuFd fd, const Environment& environment);
  // Ends the thread if there is one, and waits for it: never call it on a thread for which the
  // guest's devices wait, unless the state is kEnded.
  ~Vcpu();
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  // Once a process, before any Realise (and before seccomp forbids it).
  static base::Result<void> InstallKickHandler();

  // Starts the thread and returns when it is parked. Once.
  base::Result<void> Realise();
  // Waits until the thread is gone; it must have been asked to end. Owner's thread.
  void Join();
  // What the vCPU shall do from now on; returns at once. kEnd is final.
  void Request(Wish wish);

  State state() const;
  uint32_t index() const { return index_; }
  const ExitCounters& exits() const { return exits_; }
  // Before Realise.
  kvm::VcpuFd& fd() { return fd_; }

 private:
  void ThreadMain();
  bool WaitForRun();
  void ForgetIfUnplugged();
  void RunUntilWishedOtherwise();
  // False: the guest is over, and on_stop has been told.
  bool HandleExit();
  void HandlePorts();
  void HandleMemory();
  bool StopWith(StopReason reason, std::string detail);
  void Rest(State state);

  const uint32_t index_;
  kvm::VcpuFd fd_;
  const Environment& environment_;
  ExitCounters exits_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kNew;              // guarded by mutex_
  Wish wish_ = Wish::kPark;                // guarded by mutex_
  base::Result<void> start_ = base::Ok();  // guarded by mutex_
  std::thread thread_;                     // owner's thread
};

}  // namespace vmm
