#include "vmm/cpu/vcpu.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <span>
#include <utility>

#include "runtime/base/log.h"

namespace vmm {

namespace {

// Its arrival alone ends KVM_RUN; the handler has nothing to do.
int KickSignal() { return SIGRTMIN; }
void OnKick(int) {}

void UnblockKick() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, KickSignal());
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

base::Result<void> Vcpu::InstallKickHandler() {
  struct sigaction action = {};
  action.sa_handler = OnKick;
  sigemptyset(&action.sa_mask);
  if (sigaction(KickSignal(), &action, nullptr) != 0) return base::ErrnoError("sigaction");
  return base::Ok();
}

Vcpu::Vcpu(uint32_t index, kvm::VcpuFd fd, const Environment& environment)
    : index_(index), fd_(std::move(fd)), environment_(environment) {}

Vcpu::~Vcpu() {
  Request(Wish::kEnd);
  Join();
}

void Vcpu::Join() {
  if (thread_.joinable()) thread_.join();
}

base::Result<void> Vcpu::Realise() {
  thread_ = std::thread([this] { ThreadMain(); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_ != State::kNew; });
  return std::move(start_);
}

Vcpu::State Vcpu::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

// A kick cannot be lost. Wish and exit request change together under the mutex, and:
//  - the thread is not yet in KVM_RUN: KVM sees immediate_exit at its start;
//  - it is in KVM_RUN: the signal ends it;
//  - it has left KVM_RUN: it goes in once more, which only completes a pending access, and comes
//    out at once because of immediate_exit. It looks at the wish only then.
void Vcpu::Request(Wish wish) {
  const std::lock_guard lock(mutex_);
  if (wish_ == Wish::kEnd || wish_ == wish) return;
  wish_ = wish;
  if (wish != Wish::kRun && state_ == State::kRunning) {
    fd_.RequestExit();
    pthread_kill(thread_.native_handle(), KickSignal());
  }
  changed_.notify_all();
}

//           Realise              wish: run
//   kNew ────────────► kParked ────────────► kRunning
//                       │   ▲                 │    │
//                       │   └─────────────────┘    │
//                       │   wish: park, unplug     │
//                       │                          │ wish: end, or the guest is over
//                       └───────────► kEnded ◄─────┘
//                         wish: end
void Vcpu::ThreadMain() {
  pthread_setname_np(pthread_self(), fmt::format("vcpu{}", index_).c_str());
  UnblockKick();
  base::Result<void> start =
      environment_.on_thread_start ? environment_.on_thread_start() : base::Ok();
  const bool started = start.has_value();
  {
    const std::lock_guard lock(mutex_);
    start_ = std::move(start);
    state_ = started ? State::kParked : State::kEnded;
    changed_.notify_all();
  }
  if (!started) return;
  while (WaitForRun()) {
    RunUntilWishedOtherwise();
    ForgetIfUnplugged();
    Rest(State::kParked);
  }
  Rest(State::kEnded);
}

bool Vcpu::WaitForRun() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return wish_ == Wish::kRun || wish_ == Wish::kEnd; });
  if (wish_ == Wish::kEnd) return false;
  fd_.ClearExitRequest();
  state_ = State::kRunning;
  return true;
}

// KVM never frees a vCPU, so an unplugged one keeps its descriptor and its thread; what the guest
// left in it must not run on when the place is taken again.
void Vcpu::ForgetIfUnplugged() {
  {
    const std::lock_guard lock(mutex_);
    if (wish_ != Wish::kUnplug) return;
  }
  const base::Result<void> forgotten = fd_.WaitForInit();
  if (!forgotten) StopWith(StopReason::kInternalError, forgotten.error().Message());
}

void Vcpu::Rest(State state) {
  {
    const std::lock_guard lock(mutex_);
    if (wish_ == Wish::kEnd) {
      // One rest is told, not a park and then an end.
      if (state == State::kParked) return;
    }
    state_ = state;
    changed_.notify_all();
  }
  if (state == State::kParked) {
    const base::Result<void> told = fd_.KvmclockCtrl();
    if (!told) LOG_WARNING("vcpu{}: {}", index_, told.error().Message());
  }
  if (environment_.on_rest) environment_.on_rest(state);
}

void Vcpu::RunUntilWishedOtherwise() {
  while (true) {
    base::Result<kvm::RunOutcome> outcome = fd_.Run();
    if (!outcome) {
      StopWith(StopReason::kInternalError, outcome.error().Message());
      return;
    }
    if (*outcome == kvm::RunOutcome::kExit) {
      if (!HandleExit()) return;
      continue;
    }
    exits_.Count(ExitKind::kInterrupted);
    const std::lock_guard lock(mutex_);
    if (wish_ != Wish::kRun) return;
    fd_.ClearExitRequest();
  }
}

bool Vcpu::StopWith(StopReason reason, std::string detail) {
  Request(Wish::kEnd);
  environment_.on_stop(Stop{reason, fmt::format("vcpu{}: {}", index_, detail)});
  return false;
}

bool Vcpu::HandleExit() {
  const kvm_run& run = fd_.run();
  switch (run.exit_reason) {
    case KVM_EXIT_IO:
      HandlePorts();
      return true;
    case KVM_EXIT_MMIO:
      HandleMemory();
      return true;
    case KVM_EXIT_INTR:
      exits_.Count(ExitKind::kInterrupted);
      return true;
    case KVM_EXIT_IOAPIC_EOI:
      // Only level-triggered pins wait for it, and none is (vmm/device/ioapic.h).
      exits_.Count(ExitKind::kIoApicEoi);
      return true;
    case KVM_EXIT_HLT:
      exits_.Count(ExitKind::kHalt);
      return StopWith(StopReason::kInternalError, "halted, and no local APIC can wake it");
    case KVM_EXIT_SHUTDOWN:
      exits_.Count(ExitKind::kShutdown);
      return StopWith(StopReason::kTripleFault, "triple fault");
    case KVM_EXIT_SYSTEM_EVENT:
      exits_.Count(ExitKind::kSystemEvent);
      if (run.system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN) {
        return StopWith(StopReason::kPowerOff, "system event");
      }
      if (run.system_event.type == KVM_SYSTEM_EVENT_RESET) {
        return StopWith(StopReason::kReset, "system event");
      }
      return StopWith(StopReason::kInternalError,
                      fmt::format("system event {}", run.system_event.type));
    case KVM_EXIT_FAIL_ENTRY:
      exits_.Count(ExitKind::kFailEntry);
      return StopWith(StopReason::kInternalError,
                      fmt::format("the processor refused to enter the guest, reason {:#x}",
                                  run.fail_entry.hardware_entry_failure_reason));
    case KVM_EXIT_INTERNAL_ERROR:
      exits_.Count(ExitKind::kInternalError);
      return StopWith(StopReason::kInternalError,
                      fmt::format("KVM internal error, suberror {}", run.internal.suberror));
    default:
      exits_.Count(ExitKind::kOther);
      return StopWith(StopReason::kInternalError,
                      fmt::format("KVM exit {} that nobody expects", run.exit_reason));
  }
}

void Vcpu::HandlePorts() {
  kvm_run& run = fd_.run();
  const size_t size = run.io.size;
  // A string instruction brings many items of one port (KVM API 5, KVM_EXIT_IO).
  CHECK(run.io.data_offset + size * run.io.count <= fd_.run_size());
  std::byte* data = reinterpret_cast<std::byte*>(&run) + run.io.data_offset;
  const bool in = run.io.direction == KVM_EXIT_IO_IN;
  exits_.Count(in ? ExitKind::kPortRead : ExitKind::kPortWrite);
  for (uint32_t i = 0; i < run.io.count; ++i, data += size) {
    if (in) {
      environment_.ports.Read(run.io.port, {data, size});
    } else {
      environment_.ports.Write(run.io.port, {data, size});
    }
  }
}

void Vcpu::HandleMemory() {
  kvm_run& run = fd_.run();
  CHECK(run.mmio.len <= sizeof(run.mmio.data));
  exits_.Count(run.mmio.is_write ? ExitKind::kMemoryWrite : ExitKind::kMemoryRead);
  const std::span<std::byte> data(reinterpret_cast<std::byte*>(run.mmio.data), run.mmio.len);
  if (run.mmio.is_write) {
    environment_.memory.Write(run.mmio.phys_addr, data);
  } else {
    environment_.memory.Read(run.mmio.phys_addr, data);
  }
}

}  // namespace vmm
