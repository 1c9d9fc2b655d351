// Why a vCPU left guest mode, and what stops a machine. Thread rule: see each.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace vmm {

enum class ExitKind : size_t {
  kPortRead,
  kPortWrite,
  kMemoryRead,
  kMemoryWrite,
  kInterrupted,
  kIoApicEoi,
  kHalt,
  kShutdown,
  kSystemEvent,
  kFailEntry,
  kInternalError,
  kOther,
};
inline constexpr size_t kExitKinds = static_cast<size_t>(ExitKind::kOther) + 1;

// "port_read", …
const char* ExitKindName(ExitKind kind);

// One writer, the vCPU's thread; any reader, at any time.
class ExitCounters {
 public:
  void Count(ExitKind kind) {
    std::atomic<uint64_t>& counter = counters_[static_cast<size_t>(kind)];
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  uint64_t Get(ExitKind kind) const {
    return counters_[static_cast<size_t>(kind)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<uint64_t>, kExitKinds> counters_ = {};
};

enum class StopReason { kPowerOff, kReset, kTripleFault, kInternalError };

const char* StopReasonName(StopReason reason);

struct Stop {
  StopReason reason = StopReason::kInternalError;
  std::string detail;
};

}  // namespace vmm
