#include "runtime/cpu/demand.h"

#include <algorithm>

#include "runtime/base/log.h"
#include "runtime/cpu/weight.h"

namespace cpu {
namespace {

using base::Code;

// Linux Documentation/scheduler/sched-bwc.rst, "Management".
constexpr uint64_t kDefaultPeriodUs = 100'000;
constexpr uint64_t kMinPeriodUs = 1000;
constexpr uint64_t kMaxPeriodUs = 1'000'000;
constexpr int64_t kMinQuotaUs = 1000;

}  // namespace

base::Result<std::optional<MicroCpus>> LimitOf(const ContainerRequest& request) {
  const uint64_t period = request.period_us == 0 ? kDefaultPeriodUs : request.period_us;
  if (period < kMinPeriodUs || period > kMaxPeriodUs) {
    return base::MakeError(Code::kInvalidArgument,
                           "CPU period {} µs: not within 1000 … 1000000 (Linux sched-bwc.rst)",
                           period);
  }
  if (request.quota_us <= 0) return std::optional<MicroCpus>();
  if (request.quota_us < kMinQuotaUs) {
    return base::MakeError(Code::kInvalidArgument,
                           "CPU quota {} µs: less than 1000 (Linux sched-bwc.rst)",
                           request.quota_us);
  }
  const uint64_t quota = static_cast<uint64_t>(request.quota_us);
  const uint64_t whole = quota / period;
  if (whole >= kMaxLimitCpus) return std::optional<MicroCpus>(kMaxLimitCpus * kOneCpu);
  return std::optional<MicroCpus>(whole * kOneCpu + quota % period * kOneCpu / period);
}

base::Result<CpuSet> PresentList(const std::string& text, const CpuSet& present, const char* field,
                                 const char* what) {
  const CpuSet set = TRY(CpuSet::Parse(text), "linux.resources.cpu.{}", field);
  const CpuSet absent = set.Without(present);
  if (absent.empty()) return set;
  const bool one = absent.size() == 1;
  return base::MakeError(Code::kInvalidArgument,
                         "linux.resources.cpu.{} \"{}\": {}{} {} {} not online (online: {})", field,
                         base::Escaped(text, 128), what, one ? "" : "s", absent.ToString(),
                         one ? "is" : "are", present.ToString());
}

base::Result<Demand> DemandOf(const ContainerRequest& container, bool cri, const CpuSet& online,
                              const CpuSet& allowed) {
  Demand demand;
  demand.limit = TRY(LimitOf(container));
  demand.shares = container.shares;
  demand.set = allowed;
  if (!container.cpus.empty()) {
    demand.set = TRY(PresentList(container.cpus, online, "cpus", "CPU"));
    if (demand.set.empty()) {  // blank
      return base::MakeError(Code::kInvalidArgument, "linux.resources.cpu.cpus \"{}\": no CPU",
                             container.cpus);
    }
    demand.has_cpus = true;
  }
  const uint64_t size = demand.set.size();
  if (demand.has_cpus) {
    // Kubernetes cuts shares at the kernel's maximum, which stands for any number of CPUs.
    demand.own = !cri || demand.shares >= std::min<uint64_t>(size * 1024, kMaxShares) ||
                 (demand.limit && *demand.limit >= size * kOneCpu);
  }
  demand.pinned = demand.own && (!demand.limit || CeilCpus(*demand.limit) >= size);
  return demand;
}

uint64_t SharedCount(bool cri, bool has_cpus, std::optional<MicroCpus> limit, uint64_t shares,
                     uint32_t default_vcpus) {
  if (limit) return CeilCpus(*limit);
  const uint64_t by_shares = CpusOfShares(shares);
  if (!cri) return default_vcpus;
  if (has_cpus) return std::max<uint64_t>(default_vcpus, by_shares);
  return shares > 1024 ? by_shares : default_vcpus;
}

}  // namespace cpu
