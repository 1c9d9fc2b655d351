#include "vmm/cpu/exits.h"

namespace vmm {

const char* ExitKindName(ExitKind kind) {
  switch (kind) {
    case ExitKind::kPortRead:
      return "port_read";
    case ExitKind::kPortWrite:
      return "port_write";
    case ExitKind::kMemoryRead:
      return "memory_read";
    case ExitKind::kMemoryWrite:
      return "memory_write";
    case ExitKind::kInterrupted:
      return "interrupted";
    case ExitKind::kIoApicEoi:
      return "ioapic_eoi";
    case ExitKind::kHalt:
      return "halt";
    case ExitKind::kShutdown:
      return "shutdown";
    case ExitKind::kSystemEvent:
      return "system_event";
    case ExitKind::kFailEntry:
      return "fail_entry";
    case ExitKind::kInternalError:
      return "internal_error";
    case ExitKind::kOther:
      return "other";
  }
  return "?";
}

const char* StopReasonName(StopReason reason) {
  switch (reason) {
    case StopReason::kPowerOff:
      return "power-off";
    case StopReason::kReset:
      return "reset";
    case StopReason::kTripleFault:
      return "triple fault";
    case StopReason::kInternalError:
      return "internal error";
  }
  return "?";
}

}  // namespace vmm
