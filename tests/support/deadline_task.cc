// Takes a share of the CPUs by SCHED_DEADLINE and sleeps: Linux then refuses to take a CPU offline
// without which the share could not be kept (sched-deadline.rst, "Bandwidth management"). Runs in a
// container, as root with CAP_SYS_NICE.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

// sched_setattr(2); no header of libc's has it yet.
struct SchedAttr {
  uint32_t size;
  uint32_t sched_policy;
  uint64_t sched_flags;
  int32_t sched_nice;
  uint32_t sched_priority;
  uint64_t sched_runtime;  // ns, as the next two
  uint64_t sched_deadline;
  uint64_t sched_period;
};
static_assert(sizeof(SchedAttr) == 48);
constexpr uint32_t kSchedDeadline = 6;
constexpr uint64_t kPeriodNs = 100'000'000;

}  // namespace

int main(int argc, char** argv) {
  const uint64_t percent = argc == 2 ? strtoull(argv[1], nullptr, 10) : 0;
  if (percent == 0 || percent > 100) {
    fputs("usage: deadline_task PERCENT-OF-A-CPU\n", stderr);
    return 2;
  }
  const SchedAttr attributes = {.size = sizeof attributes,
                                .sched_policy = kSchedDeadline,
                                .sched_flags = 0,
                                .sched_nice = 0,
                                .sched_priority = 0,
                                .sched_runtime = kPeriodNs / 100 * percent,
                                .sched_deadline = kPeriodNs,
                                .sched_period = kPeriodNs};
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) != 0) {
    perror("sched_setattr");
    return 1;
  }
  puts("up");
  fflush(stdout);
  while (true) pause();
}
