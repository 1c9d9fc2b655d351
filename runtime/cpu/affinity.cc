#include "runtime/cpu/affinity.h"

#include <dirent.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/process_tree.h"

namespace cpu {
namespace {

using base::Code;

constexpr std::string_view kVcpuName = "vcpu";

struct Thread {
  pid_t tid;
  std::string comm;
};

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

base::Result<std::vector<Thread>> ThreadsOf(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/task", pid);
  const std::unique_ptr<DIR, DirCloser> dir(opendir(path.c_str()));
  if (!dir) return base::ErrnoError("open {}", path);
  std::vector<Thread> threads;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    pid_t tid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), tid).ec != std::errc()) continue;
    auto comm = base::ReadFile(fmt::format("{}/{}/comm", path, name));
    if (!comm) continue;  // it ended in between
    while (comm->ends_with('\n')) comm->pop_back();
    threads.push_back({tid, std::move(*comm)});
  }
  return threads;
}

// "vcpu12" → 12; "vcpu", "vcpu1x", "vcpu01" are no vCPU's name.
std::optional<size_t> VcpuIndex(std::string_view comm) {
  if (!comm.starts_with(kVcpuName)) return std::nullopt;
  comm.remove_prefix(kVcpuName.size());
  size_t index = 0;
  const auto [end, error] = std::from_chars(comm.data(), comm.data() + comm.size(), index);
  if (error != std::errc() || end != comm.data() + comm.size()) return std::nullopt;
  if (comm.size() > 1 && comm[0] == '0') return std::nullopt;
  return index;
}

struct CpuSetFree {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using KernelSet = std::unique_ptr<cpu_set_t, CpuSetFree>;

KernelSet EmptyKernelSet() {
  KernelSet set(CPU_ALLOC(kMaxCpus));
  CHECK(set);
  CPU_ZERO_S(CPU_ALLOC_SIZE(kMaxCpus), set.get());
  return set;
}

}  // namespace

base::Result<std::vector<pid_t>> VcpuThreads(pid_t pid, size_t count) {
  std::vector<pid_t> tids(count, 0);
  for (const Thread& thread : TRY(ThreadsOf(pid))) {
    const auto index = VcpuIndex(thread.comm);
    if (!index) continue;
    if (*index >= count || tids[*index] != 0) {
      return base::MakeError(Code::kFailedPrecondition,
                             "process {} has a thread {} named {}, but {} vCPUs, each once", pid,
                             thread.tid, thread.comm, count);
    }
    tids[*index] = thread.tid;
  }
  for (size_t index = 0; index < count; ++index) {
    if (tids[index] != 0) continue;
    return base::MakeError(Code::kNotFound, "process {} has no thread named {}{}", pid, kVcpuName,
                           index);
  }
  return tids;
}

base::Result<std::vector<pid_t>> OtherThreads(pid_t pid) {
  std::vector<pid_t> tids;
  for (const Thread& thread : TRY(ThreadsOf(pid))) {
    if (!VcpuIndex(thread.comm)) tids.push_back(thread.tid);
  }
  return tids;
}

base::Result<CpuSet> GetAffinity(pid_t tid) {
  const KernelSet kernel = EmptyKernelSet();
  const size_t size = CPU_ALLOC_SIZE(kMaxCpus);
  if (sched_getaffinity(tid, size, kernel.get()) != 0) {
    return base::ErrnoError("sched_getaffinity of thread {}", tid);
  }
  CpuSet set;
  for (uint32_t cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (CPU_ISSET_S(cpu, size, kernel.get())) set.Insert(cpu);
  }
  return set;
}

base::Result<void> SetAndVerify(pid_t tid, const CpuSet& cpus) {
  const KernelSet kernel = EmptyKernelSet();
  const size_t size = CPU_ALLOC_SIZE(kMaxCpus);
  for (const uint32_t cpu : cpus) CPU_SET_S(cpu, size, kernel.get());
  if (sched_setaffinity(tid, size, kernel.get()) != 0) {
    return base::ErrnoError("sched_setaffinity of thread {} to CPUs {}", tid, cpus.ToString());
  }
  return Verify(tid, cpus);
}

base::Result<void> SetAsAllowed(pid_t tid, const CpuSet& cpus, const CpuSet& allowed) {
  base::Result<void> set = SetAndVerify(tid, cpus);
  if (set || set.error().error_number() != 0) return set;
  return Verify(tid, cpus.Intersection(allowed));
}

base::Result<void> MoveProcess(pid_t pid, const CpuSet& cpus, bool with_children) {
  auto tids = OtherThreads(pid);
  if (!tids) {
    if (tids.error().error_number() == ENOENT) return base::Ok();
    return std::move(tids.error());
  }
  for (const pid_t tid : *tids) {
    auto moved = SetAndVerify(tid, cpus);
    if (!moved && moved.error().error_number() != ESRCH) return moved;
  }
  if (!with_children) return base::Ok();
  for (const pid_t child : base::ChildrenOf(pid)) TRY(MoveProcess(child, cpus));
  return base::Ok();
}

base::Result<void> Verify(pid_t tid, const CpuSet& cpus) {
  const CpuSet is = TRY(GetAffinity(tid));
  if (is == cpus) return base::Ok();
  return base::MakeError(
      Code::kFailedPrecondition,
      "thread {} may run on CPUs {} instead of {}: a cpuset above it is narrower", tid,
      is.ToString(), cpus.ToString());
}

}  // namespace cpu
