// Masks of another process' threads, set and read back.
//
// Trust: the process is the jailed vmm. What it calls its threads is checked for making sense, so
// that a lie costs nobody but its own pod. Thread rule: reentrant.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/cpu/cpu_set.h"

namespace cpu {

// Host tids of the threads of `pid` named "vcpu0" … "vcpu<count - 1>", in that order. kNotFound if
// one is missing, kFailedPrecondition if a name occurs twice or a vCPU too many exists.
base::Result<std::vector<pid_t>> VcpuThreads(pid_t pid, size_t count);

// Every thread of `pid` that is not named as a vCPU's.
base::Result<std::vector<pid_t>> OtherThreads(pid_t pid);

// tid 0: the calling thread.
base::Result<CpuSet> GetAffinity(pid_t tid);

// sched_setaffinity(2), then reads back and demands exact equality: the kernel shrinks a mask to
// what cpusets allow without a word. kFailedPrecondition if it did; kInvalidArgument if no CPU of
// `cpus` is allowed.
base::Result<void> SetAndVerify(pid_t tid, const CpuSet& cpus);

// For a thread without pins: those of `cpus` that the cpusets above it leave, and all of those. The
// kernel remembers `cpus`, so that a cpuset that widens later widens the mask (Linux 6.2).
// kFailedPrecondition if the mask in force is neither `cpus` nor what `allowed` leaves of it.
base::Result<void> SetAsAllowed(pid_t tid, const CpuSet& cpus, const CpuSet& allowed);

// Moves every thread of `pid` but those named as a vCPU's, and, unless `children` is false, the
// processes it has started; what ends meanwhile is passed over. Threads to come inherit the mask of
// the one that makes them.
base::Result<void> MoveProcess(pid_t pid, const CpuSet& cpus, bool children = true);

// Once more after anything that may have overwritten masks.
base::Result<void> Verify(pid_t tid, const CpuSet& cpus);

}  // namespace cpu
