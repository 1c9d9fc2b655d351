#include "runtime/agent/scheduling.h"

#include <linux/sched.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace agent {
namespace {

using base::Code;
using base::MakeError;

// struct sched_attr of sched_setattr(2), first version; linux/sched/types.h clashes with sched.h.
struct SchedulingAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};
static_assert(sizeof(SchedulingAttributes) == 48);

struct Name {
  std::string_view name;
  uint32_t value;
};

// sched(7)
constexpr Name kPolicies[] = {
    {"SCHED_OTHER", SCHED_NORMAL}, {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH},  {"SCHED_IDLE", SCHED_IDLE}, {"SCHED_DEADLINE", SCHED_DEADLINE},
};
// sched_setattr(2), "sched_flags"
constexpr Name kFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
    {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
    {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
    {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
    {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
    {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
};
// ioprio_set(2). Not from linux/ioprio.h, which names a parameter `class` in some versions.
enum : int { IOPRIO_CLASS_RT = 1, IOPRIO_CLASS_BE = 2, IOPRIO_CLASS_IDLE = 3 };
constexpr int IOPRIO_WHO_PROCESS = 1;
constexpr int IOPRIO_CLASS_SHIFT = 13;

constexpr Name kIoClasses[] = {
    {"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
    {"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
    {"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE},
};

base::Result<uint32_t> Find(std::span<const Name> names, std::string_view wanted) {
  for (const Name& row : names) {
    if (row.name == wanted) return row.value;
  }
  return MakeError(Code::kInvalidArgument, "\"{}\" is not known", wanted);
}

}  // namespace

base::Result<void> SetScheduler(const oci::Scheduler& scheduler) {
  SchedulingAttributes attributes{};
  attributes.size = sizeof attributes;
  attributes.policy = TRY(Find(kPolicies, scheduler.policy), "policy");
  for (const std::string& flag : scheduler.flags) {
    attributes.flags |= TRY(Find(kFlags, flag), "flags");
  }
  attributes.nice = scheduler.nice;
  attributes.priority = static_cast<uint32_t>(scheduler.priority);
  attributes.runtime = scheduler.runtime_ns;
  attributes.deadline = scheduler.deadline_ns;
  attributes.period = scheduler.period_ns;
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) != 0) {
    return base::ErrnoError("sched_setattr {}", scheduler.policy);
  }
  return base::Ok();
}

base::Result<void> SetIoPriority(const oci::IoPriority& priority) {
  const uint32_t io_class = TRY(Find(kIoClasses, priority.io_class), "class");
  const int value = (static_cast<int>(io_class) << IOPRIO_CLASS_SHIFT) | priority.priority;
  if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) != 0) {
    return base::ErrnoError("ioprio_set {} {}", priority.io_class, priority.priority);
  }
  return base::Ok();
}

base::Result<void> SetPersonality(const oci::Personality& wanted) {
  // OCI runtime-spec 1.2, config-linux.md "Personality": no flags are defined.
  if (!wanted.flags.empty()) {
    return MakeError(Code::kInvalidArgument, "flags: \"{}\": none is supported", wanted.flags[0]);
  }
  const unsigned long domain = wanted.domain == "LINUX32" ? PER_LINUX32 : PER_LINUX;
  if (personality(domain) < 0) return base::ErrnoError("personality {}", wanted.domain);
  return base::Ok();
}

}  // namespace agent
