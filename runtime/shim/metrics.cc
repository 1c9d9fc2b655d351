#include "runtime/shim/metrics.h"

#include <fmt/format.h>

#include <limits>

#include "agent-proto/proto/containerd/metrics_v1.pb.h"
#include "agent-proto/proto/containerd/metrics_v2.pb.h"

namespace shim {
namespace {

namespace v1 = ::io::containerd::cgroups::v1;
namespace v2 = ::io::containerd::cgroups::v2;

// How both messages say "no limit".
constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();
// The kernel's own, of cgroup v1: the largest page-aligned int64_t.
constexpr uint64_t kUnlimitedV1 = 0x7ffffffffffff000;

class Numbers {
 public:
  explicit Numbers(const pod::ContainerStats& stats) : values_(stats.values) {}
  uint64_t Get(const std::string& name, uint64_t otherwise = 0) const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }

 private:
  const std::map<std::string, uint64_t>& values_;
};

struct MemoryField {
  const char* name;
  void (v2::MemoryStat::*set)(uint64_t);
};

// memory.stat has these names; where the kernel has split a counter in two, see below.
constexpr MemoryField kMemoryFields[] = {
    {"memory.stat/anon", &v2::MemoryStat::set_anon},
    {"memory.stat/file", &v2::MemoryStat::set_file},
    {"memory.stat/kernel_stack", &v2::MemoryStat::set_kernel_stack},
    {"memory.stat/slab", &v2::MemoryStat::set_slab},
    {"memory.stat/sock", &v2::MemoryStat::set_sock},
    {"memory.stat/shmem", &v2::MemoryStat::set_shmem},
    {"memory.stat/file_mapped", &v2::MemoryStat::set_file_mapped},
    {"memory.stat/file_dirty", &v2::MemoryStat::set_file_dirty},
    {"memory.stat/file_writeback", &v2::MemoryStat::set_file_writeback},
    {"memory.stat/anon_thp", &v2::MemoryStat::set_anon_thp},
    {"memory.stat/inactive_anon", &v2::MemoryStat::set_inactive_anon},
    {"memory.stat/active_anon", &v2::MemoryStat::set_active_anon},
    {"memory.stat/inactive_file", &v2::MemoryStat::set_inactive_file},
    {"memory.stat/active_file", &v2::MemoryStat::set_active_file},
    {"memory.stat/unevictable", &v2::MemoryStat::set_unevictable},
    {"memory.stat/slab_reclaimable", &v2::MemoryStat::set_slab_reclaimable},
    {"memory.stat/slab_unreclaimable", &v2::MemoryStat::set_slab_unreclaimable},
    {"memory.stat/pgfault", &v2::MemoryStat::set_pgfault},
    {"memory.stat/pgmajfault", &v2::MemoryStat::set_pgmajfault},
    {"memory.stat/workingset_refault", &v2::MemoryStat::set_workingset_refault},
    {"memory.stat/workingset_activate", &v2::MemoryStat::set_workingset_activate},
    {"memory.stat/workingset_nodereclaim", &v2::MemoryStat::set_workingset_nodereclaim},
    {"memory.stat/pgrefill", &v2::MemoryStat::set_pgrefill},
    {"memory.stat/pgscan", &v2::MemoryStat::set_pgscan},
    {"memory.stat/pgsteal", &v2::MemoryStat::set_pgsteal},
    {"memory.stat/pgactivate", &v2::MemoryStat::set_pgactivate},
    {"memory.stat/pgdeactivate", &v2::MemoryStat::set_pgdeactivate},
    {"memory.stat/pglazyfree", &v2::MemoryStat::set_pglazyfree},
    {"memory.stat/pglazyfreed", &v2::MemoryStat::set_pglazyfreed},
    {"memory.stat/thp_fault_alloc", &v2::MemoryStat::set_thp_fault_alloc},
    {"memory.stat/thp_collapse_alloc", &v2::MemoryStat::set_thp_collapse_alloc},
};

void FillMemory(const Numbers& numbers, v2::MemoryStat* memory) {
  for (const MemoryField& field : kMemoryFields) (memory->*field.set)(numbers.Get(field.name));
  // Since Linux 5.9 anonymous and file pages are counted apart.
  memory->set_workingset_refault(numbers.Get("memory.stat/workingset_refault_anon") +
                                 numbers.Get("memory.stat/workingset_refault_file"));
  memory->set_workingset_activate(numbers.Get("memory.stat/workingset_activate_anon") +
                                  numbers.Get("memory.stat/workingset_activate_file"));
  memory->set_usage(numbers.Get("memory.current"));
  memory->set_usage_limit(numbers.Get("memory.max", kUnlimited));
  memory->set_max_usage(numbers.Get("memory.peak"));
  memory->set_swap_usage(numbers.Get("memory.swap.current"));
  memory->set_swap_limit(numbers.Get("memory.swap.max", kUnlimited));
  memory->set_swap_max_usage(numbers.Get("memory.swap.peak"));
}

std::string V2(const pod::ContainerStats& stats) {
  const Numbers numbers(stats);
  v2::Metrics metrics;
  metrics.mutable_pids()->set_current(numbers.Get("pids.current"));
  metrics.mutable_pids()->set_limit(numbers.Get("pids.max"));
  v2::CPUStat* const cpu = metrics.mutable_cpu();
  cpu->set_usage_usec(numbers.Get("cpu.stat/usage_usec"));
  cpu->set_user_usec(numbers.Get("cpu.stat/user_usec"));
  cpu->set_system_usec(numbers.Get("cpu.stat/system_usec"));
  cpu->set_nr_periods(numbers.Get("cpu.stat/nr_periods"));
  cpu->set_nr_throttled(numbers.Get("cpu.stat/nr_throttled"));
  cpu->set_throttled_usec(numbers.Get("cpu.stat/throttled_usec"));
  FillMemory(numbers, metrics.mutable_memory());
  v2::MemoryEvents* const events = metrics.mutable_memory_events();
  events->set_low(numbers.Get("memory.events/low"));
  events->set_high(numbers.Get("memory.events/high"));
  events->set_max(numbers.Get("memory.events/max"));
  events->set_oom(numbers.Get("memory.events/oom"));
  events->set_oom_kill(numbers.Get("memory.events/oom_kill"));
  metrics.mutable_io();
  for (const pod::ContainerStats::Io& io : stats.io) {
    v2::IOEntry* const entry = metrics.mutable_io()->add_usage();
    entry->set_major(io.major);
    entry->set_minor(io.minor);
    entry->set_rbytes(io.rbytes);
    entry->set_wbytes(io.wbytes);
    entry->set_rios(io.rios);
    entry->set_wios(io.wios);
  }
  return metrics.SerializeAsString();
}

// The counters of version 1 that version 2 has under another name. Linux
// Documentation/admin-guide/cgroup-v1/memory.rst, "stat file". All are of the whole subtree.
void FillMemory(const Numbers& numbers, v1::MemoryStat* memory) {
  const uint64_t cache = numbers.Get("memory.stat/file");
  const uint64_t rss = numbers.Get("memory.stat/anon");
  const uint64_t huge = numbers.Get("memory.stat/anon_thp");
  const uint64_t mapped = numbers.Get("memory.stat/file_mapped");
  const uint64_t dirty = numbers.Get("memory.stat/file_dirty");
  const uint64_t writeback = numbers.Get("memory.stat/file_writeback");
  const uint64_t faults = numbers.Get("memory.stat/pgfault");
  const uint64_t major_faults = numbers.Get("memory.stat/pgmajfault");
  memory->set_cache(cache);
  memory->set_total_cache(cache);
  memory->set_rss(rss);
  memory->set_total_rss(rss);
  memory->set_rss_huge(huge);
  memory->set_total_rss_huge(huge);
  memory->set_mapped_file(mapped);
  memory->set_total_mapped_file(mapped);
  memory->set_dirty(dirty);
  memory->set_total_dirty(dirty);
  memory->set_writeback(writeback);
  memory->set_total_writeback(writeback);
  memory->set_pg_fault(faults);
  memory->set_total_pg_fault(faults);
  memory->set_pg_maj_fault(major_faults);
  memory->set_total_pg_maj_fault(major_faults);
  memory->set_inactive_anon(numbers.Get("memory.stat/inactive_anon"));
  memory->set_total_inactive_anon(memory->inactive_anon());
  memory->set_active_anon(numbers.Get("memory.stat/active_anon"));
  memory->set_total_active_anon(memory->active_anon());
  memory->set_inactive_file(numbers.Get("memory.stat/inactive_file"));
  memory->set_total_inactive_file(memory->inactive_file());
  memory->set_active_file(numbers.Get("memory.stat/active_file"));
  memory->set_total_active_file(memory->active_file());
  memory->set_unevictable(numbers.Get("memory.stat/unevictable"));
  memory->set_total_unevictable(memory->unevictable());
  memory->mutable_usage()->set_usage(numbers.Get("memory.current"));
  memory->mutable_usage()->set_limit(numbers.Get("memory.max", kUnlimitedV1));
  memory->mutable_usage()->set_max(numbers.Get("memory.peak"));
  memory->mutable_usage()->set_failcnt(numbers.Get("memory.events/max"));
  // Version 1 counts memory and swap together.
  memory->mutable_swap()->set_usage(numbers.Get("memory.current") +
                                    numbers.Get("memory.swap.current"));
  memory->mutable_swap()->set_limit(kUnlimitedV1);
}

void AddIo(const pod::ContainerStats::Io& io, v1::BlkIOStat* out) {
  const auto add = [&](v1::BlkIOEntry* entry, const char* operation, uint64_t value) {
    entry->set_op(operation);
    entry->set_device(fmt::format("{}:{}", io.major, io.minor));
    entry->set_major(io.major);
    entry->set_minor(io.minor);
    entry->set_value(value);
  };
  add(out->add_io_service_bytes_recursive(), "Read", io.rbytes);
  add(out->add_io_service_bytes_recursive(), "Write", io.wbytes);
  add(out->add_io_serviced_recursive(), "Read", io.rios);
  add(out->add_io_serviced_recursive(), "Write", io.wios);
}

std::string V1(const pod::ContainerStats& stats) {
  constexpr uint64_t kNsPerUs = 1000;
  const Numbers numbers(stats);
  v1::Metrics metrics;
  metrics.mutable_pids()->set_current(numbers.Get("pids.current"));
  metrics.mutable_pids()->set_limit(numbers.Get("pids.max"));
  v1::CPUUsage* const usage = metrics.mutable_cpu()->mutable_usage();
  usage->set_total(numbers.Get("cpu.stat/usage_usec") * kNsPerUs);
  usage->set_kernel(numbers.Get("cpu.stat/system_usec") * kNsPerUs);
  usage->set_user(numbers.Get("cpu.stat/user_usec") * kNsPerUs);
  v1::Throttle* const throttling = metrics.mutable_cpu()->mutable_throttling();
  throttling->set_periods(numbers.Get("cpu.stat/nr_periods"));
  throttling->set_throttled_periods(numbers.Get("cpu.stat/nr_throttled"));
  throttling->set_throttled_time(numbers.Get("cpu.stat/throttled_usec") * kNsPerUs);
  FillMemory(numbers, metrics.mutable_memory());
  metrics.mutable_memory_oom_control()->set_oom_kill(numbers.Get("memory.events/oom_kill"));
  metrics.mutable_blkio();
  for (const pod::ContainerStats::Io& io : stats.io) AddIo(io, metrics.mutable_blkio());
  return metrics.SerializeAsString();
}

}  // namespace

containerd::Any ToMetrics(const pod::ContainerStats& stats, MetricsVersion version) {
  containerd::Any any;
  // Bare names, without type.googleapis.com: containerd's typeurl.
  if (version == MetricsVersion::kV1) {
    any.set_type_url("io.containerd.cgroups.v1.Metrics");
    any.set_value(V1(stats));
  } else {
    any.set_type_url("io.containerd.cgroups.v2.Metrics");
    any.set_value(V2(stats));
  }
  return any;
}

}  // namespace shim
