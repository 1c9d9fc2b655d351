#include "runtime/cpu/plan.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "runtime/cpu/demand.h"
#include "runtime/cpu/guest_nodes.h"
#include "runtime/cpu/guest_topology.h"
#include "runtime/cpu/weight.h"
#include "vmm/topology/guest_topology.h"

namespace cpu {
namespace {

using base::Code;

std::string Cpus(MicroCpus limit) {
  std::string text = fmt::format("{}.{:06}", limit / kOneCpu, limit % kOneCpu);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

// Linux Documentation/scheduler/sched-bwc.rst, "Management": at most the quota.
uint64_t BurstOf(const ContainerRequest& request) {
  return std::min(request.burst_us, static_cast<uint64_t>(std::max<int64_t>(request.quota_us, 0)));
}

// One planning, step by step in the order of the rules.
class Planner {
 public:
  Planner(const HostTopology& host, const CpuRequest& request, const Policy& policy)
      : host_(host), request_(request), policy_(policy), online_(host.Online()) {
    for (const OtherPins& other : request.pinned_elsewhere) {
      elsewhere_ = elsewhere_.Union(other.cpus);
    }
  }

  base::Result<CpuPlan> Run();

 private:
  base::Result<void> ReadDemands();
  void NoteOddities();
  void ChoosePins();
  base::Result<void> CheckPins();
  void NoteOverlaps();
  uint64_t CountShared(const std::vector<const Demand*>& sharers, const CpuSet& set);
  void ChooseGrowth(size_t count);
  void PlaceVcpus();
  void ChooseMode(size_t sharers, bool restricted, const CpuSet& shared_set);
  CpuSet FloatingMask() const;
  void Limit();
  base::Result<void> ChooseMemory();
  void ChooseHousekeeping();

  uint64_t MaxVcpus() const {
    const uint64_t most = std::min(host_.cpus.size(), vmm::GuestTopology::kMaxVcpus);
    return policy_.max_vcpus == 0 ? most : std::min<uint64_t>(most, policy_.max_vcpus);
  }
  // With the pod's limit, which caps the sum (R0).
  uint64_t MaxTotal() const {
    return pod_limit_ ? std::min(MaxVcpus(), CeilCpus(*pod_limit_)) : MaxVcpus();
  }
  template <class... Args>
  void AddNote(const char* code, fmt::format_string<Args...> format, Args&&... args) {
    plan_.notes.push_back({code, fmt::format(format, std::forward<Args>(args)...)});
  }
  template <class... Args>
  void Because(const char* figure, fmt::format_string<Args...> format, Args&&... args) {
    plan_.reasons.push_back({figure, fmt::format(format, std::forward<Args>(args)...)});
  }

  const HostTopology& host_;
  const CpuRequest& request_;
  const Policy& policy_;
  const CpuSet online_;
  CpuSet elsewhere_;

  CpuSet allowed_;
  std::vector<ContainerRequest> containers_;
  std::vector<Demand> demands_;
  std::optional<MicroCpus> pod_limit_;
  CpuSet pinned_;  // E of R0
  // Why what was asked for as its own is not pinned, and as which code; "": nothing such.
  std::string why_not_, why_not_code_;
  CpuPlan plan_;
};

// R0, R1
base::Result<void> Planner::ReadDemands() {
  allowed_ = request_.allowed.empty() ? online_ : request_.allowed.Intersection(online_);
  if (allowed_.empty()) {
    return base::MakeError(Code::kFailedPrecondition,
                           "the pod's cgroup allows CPUs {}, none of which is online (online: {})",
                           request_.allowed.ToString(), online_.ToString());
  }
  containers_ = request_.containers;
  if (containers_.empty()) {
    containers_.push_back(request_.pod.value_or(ContainerRequest{}));
  } else if (request_.pod) {
    pod_limit_ = TRY(LimitOf(*request_.pod), "the pod's limit");
  }
  for (const ContainerRequest& container : containers_) {
    demands_.push_back(TRY(DemandOf(container, request_.cri, online_, allowed_)));
  }
  // A pod's limit is the limit of its only container, if that one has none or a larger one.
  if (demands_.size() == 1 && pod_limit_ &&
      (!demands_[0].limit || *demands_[0].limit > *pod_limit_)) {
    demands_[0].limit = pod_limit_;
    demands_[0].pinned = demands_[0].pinned && CeilCpus(*pod_limit_) >= demands_[0].set.size();
  }
  return base::Ok();
}

// What the kernel would take without a word and give less, or nothing, for.
void Planner::NoteOddities() {
  for (const ContainerRequest& container : containers_) {
    if (container.quota_us < -1) {
      AddNote("quota_negative", "a quota of {} µs means no limit", container.quota_us);
    }
    if (container.shares != 0 && (container.shares < kMinShares || container.shares > kMaxShares)) {
      AddNote("shares_clamped", "shares {} count as {}: the kernel takes {} to {}",
              container.shares, std::clamp(container.shares, kMinShares, kMaxShares), kMinShares,
              kMaxShares);
    }
    if (container.burst_us != 0 && container.quota_us <= 0) {
      AddNote("burst_ignored", "a burst of {} µs without a quota has no effect",
              container.burst_us);
    } else if (BurstOf(container) != container.burst_us) {
      AddNote("burst_clamped",
              "a burst of {} µs counts as {}: the kernel takes none above the quota",
              container.burst_us, container.quota_us);
    }
    if (container.realtime) {
      AddNote("realtime_ignored", "realtime runtime and period are not applied to vCPU threads");
    }
    if (container.idle) AddNote("idle_ignored", "idle is not applied to vCPU threads");
  }
}

// E of R0, and why it is not what it might be.
void Planner::ChoosePins() {
  size_t sharers = 0;
  for (const Demand& demand : demands_) {
    sharers += !demand.pinned;
    if (demand.pinned) pinned_ = pinned_.Union(demand.set);
    if (!demand.own || demand.pinned) continue;
    why_not_ =
        fmt::format("{} CPUs asked, limit allows {}", demand.set.size(), CeilCpus(*demand.limit));
    why_not_code_ = "not_pinned";
  }
  if (pinned_.empty()) return;
  const size_t needed = pinned_.size() + (sharers > 0 ? 1 : 0);
  if (policy_.pinning == Pinning::kOff) {
    why_not_ = fmt::format("pinning is off for CPUs {}", pinned_.ToString());
    why_not_code_ = "pinning_off";
  } else if (needed > MaxVcpus()) {
    why_not_ = fmt::format("{} vCPUs asked, max_vcpus is {}", needed, MaxVcpus());
    why_not_code_ = "not_pinned";
  } else if (needed > MaxTotal()) {
    why_not_ = fmt::format("{} vCPUs asked, the pod's limit allows {}", needed, MaxTotal());
    why_not_code_ = "not_pinned";
  } else {
    return;
  }
  pinned_ = CpuSet();
}

// R4, R10
base::Result<void> Planner::CheckPins() {
  if (policy_.pinning == Pinning::kRequired) {
    if (!why_not_.empty()) {
      return base::MakeError(Code::kFailedPrecondition, "pinning is required, but {}", why_not_);
    }
    // A pod of which no container is known yet may still get CPUs of its own.
    if (pinned_.empty() && !request_.containers.empty()) {
      for (const Demand& demand : demands_) {
        if (!demand.has_cpus) continue;
        return base::MakeError(Code::kFailedPrecondition,
                               "pinning is required, but CPUs {} are not the container's own: "
                               "neither shares nor limit cover them",
                               demand.set.ToString());
      }
      return base::MakeError(
          Code::kFailedPrecondition,
          "pinning is required, but no CPUs were given (linux.resources.cpu.cpus)");
    }
    for (const OtherPins& other : request_.pinned_elsewhere) {
      const CpuSet taken = pinned_.Intersection(other.cpus);
      if (taken.empty()) continue;
      return base::MakeError(Code::kFailedPrecondition,
                             "pinning is required, but CPUs {} are pinned by pod {}",
                             taken.ToString(), other.pod);
    }
  } else if (!why_not_.empty()) {
    AddNote(why_not_code_.c_str(), "not pinned: {}", why_not_);
  }
  NoteOverlaps();
  return base::Ok();
}

void Planner::NoteOverlaps() {
  for (const OtherPins& other : request_.pinned_elsewhere) {
    const CpuSet taken = pinned_.Intersection(other.cpus);
    if (taken.empty()) continue;
    AddNote("pins_overlap", "CPUs {} are pinned by pod {} too", taken.ToString(), other.pod);
  }
  for (const Demand& demand : demands_) {
    if (demand.pinned && !pinned_.empty()) continue;
    const CpuSet isolated = demand.set.Intersection(host_.Isolated());
    if (!demand.has_cpus || isolated.empty() || demand.set.size() == 1) continue;
    AddNote("isolated_confined",
            "CPUs {} are isolated: the kernel does not spread vCPUs over them by itself",
            isolated.ToString());
  }
}

// R3 for those that share.
uint64_t Planner::CountShared(const std::vector<const Demand*>& sharers, const CpuSet& set) {
  std::optional<MicroCpus> limit = 0;
  uint64_t shares = 0;
  bool has_cpus = false, own = true;
  for (const Demand* demand : sharers) {
    has_cpus = has_cpus || demand->has_cpus;
    own = own && demand->own;
    shares += std::min<uint64_t>(demand->shares, kMaxLimitCpus);
    if (!demand->limit) limit.reset();
    if (limit) *limit += *demand->limit;
  }
  // A set that is own but may not be pinned still asks for a vCPU for each CPU.
  const bool whole_set = has_cpus && own && !limit;
  const uint64_t wanted = std::max<uint64_t>(
      1, whole_set ? set.size()
                   : SharedCount(request_.cri, has_cpus, limit, shares, policy_.default_vcpus));
  if (limit) {
    Because("vcpus", "{}: the limit of {} CPUs, rounded up", wanted, Cpus(*limit));
  } else if (whole_set) {
    Because("vcpus", "{}: one for each CPU of {}", wanted, set.ToString());
  } else if (request_.cri && wanted == CpusOfShares(shares) && wanted != policy_.default_vcpus) {
    Because("vcpus", "{}: shares {} / 1024, rounded up", wanted, shares);
  } else {
    Because("vcpus", "{}: default_vcpus, as nothing asks for more", wanted);
  }
  const uint64_t room = MaxTotal() > pinned_.size() ? MaxTotal() - pinned_.size() : 0;
  const uint64_t most = std::max<uint64_t>(1, std::min<uint64_t>(set.size(), room));
  if (wanted <= most) return wanted;
  AddNote("vcpus_clamped", "{} vCPUs instead of {}: CPUs {}, max_vcpus {}{}", most, wanted,
          set.ToString(), MaxVcpus(),
          pod_limit_ ? fmt::format(", the pod's limit {}", Cpus(*pod_limit_)) : "");
  return most;
}

// "The possible machine": in CRI further containers may come, up to the pod's whole CPUs;
// elsewhere, what policy keeps for updates. Which CPUs they will get nobody knows yet; those
// nearest to the pinned ones are the likeliest.
void Planner::ChooseGrowth(size_t count) {
  uint64_t total = count + policy_.spare_vcpus;
  if (request_.cri && request_.pod) {
    const auto limit = LimitOf(*request_.pod);
    if (!limit) return;
    total = std::max(total, *limit ? **limit / kOneCpu : request_.pod->shares / 1024);
  }
  total = std::min(total, MaxVcpus());
  if (total <= count) return;
  const HostCpu* home = pinned_.empty() ? nullptr : host_.Find(pinned_.first());
  using Rank = std::tuple<bool, uint32_t, bool, uint32_t, uint32_t, uint32_t, uint32_t>;
  std::vector<std::pair<Rank, uint32_t>> candidates;
  for (const uint32_t id : allowed_.Without(pinned_).Without(elsewhere_)) {
    const HostCpu& cpu = *host_.Find(id);
    candidates.push_back(
        {Rank(cpu.isolated, home ? host_.Distance(home->node, cpu.node) : 0,
              home && home->package != cpu.package, cpu.package, cpu.die, cpu.core, cpu.thread),
         id});
  }
  std::sort(candidates.begin(), candidates.end());
  const uint64_t more = std::min<uint64_t>(total - count, candidates.size());
  for (uint64_t i = 0; i < more; ++i) plan_.grow.Insert(candidates[i].second);
  if (more == 0) return;
  Because("grow", "{}: the pod may come to {} vCPUs and has {}", plan_.grow.ToString(), total,
          count);
}

// Rule R7: floating threads keep off what pods have pinned, this one and others.
CpuSet Planner::FloatingMask() const {
  const CpuSet taken = pinned_.Union(elsewhere_);
  if (!allowed_.Intersects(taken)) return pinned_.empty() ? CpuSet() : allowed_;
  const CpuSet rest = allowed_.Without(taken);
  return rest.empty() ? allowed_ : rest;
}

void Planner::ChooseMode(size_t sharers, bool restricted, const CpuSet& shared_set) {
  if (pinned_.empty()) {
    plan_.mode = restricted ? Mode::kConfined : Mode::kFloating;
  } else {
    plan_.mode = sharers == 0 ? Mode::kPinned : Mode::kMixed;
  }
  switch (plan_.mode) {
    case Mode::kPinned:
      Because("mode", "pinned: CPUs {} are the container's own, one vCPU on each",
              pinned_.ToString());
      break;
    case Mode::kConfined:
      Because("mode", "confined: every vCPU may use CPUs {}{}{}", shared_set.ToString(),
              why_not_.empty() ? "" : "; not pinned: ", why_not_);
      break;
    case Mode::kFloating:
      Because("mode", "floating: no CPUs were given; where the cgroup allows");
      break;
    case Mode::kMixed:
      Because("mode", "mixed: CPUs {} are containers' own, one vCPU on each; others share {}",
              pinned_.ToString(), shared_set.ToString());
      break;
  }
}

// R0, R4; R5 and R6
void Planner::PlaceVcpus() {
  std::vector<const Demand*> sharers;
  CpuSet shared_set;
  bool restricted = true;
  for (const Demand& demand : demands_) {
    if (demand.pinned && !pinned_.empty()) continue;
    sharers.push_back(&demand);
    shared_set = shared_set.Union(demand.set);
    restricted = restricted && demand.has_cpus;
  }
  if (!pinned_.empty()) {
    Because("vcpus", "{}: one for each of CPUs {}", pinned_.size(), pinned_.ToString());
  }
  const uint64_t count = sharers.empty() ? 0 : CountShared(sharers, shared_set);
  const CpuSet mask = restricted ? shared_set : FloatingMask();
  if (!restricted && !pinned_.empty()) shared_set = mask;
  if (!restricted && mask.Intersects(elsewhere_)) {
    AddNote("floating_on_pins", "no CPU is left that no pod pins: vCPUs float on {} too",
            mask.Intersection(elsewhere_).ToString());
  }
  ChooseGrowth(pinned_.size() + count);
  if (!pinned_.empty()) {
    MirrorHost(host_, pinned_, plan_.grow, policy_.smt, plan_);
    if (policy_.smt == Smt::kHide) {
      AddNote("smt_hidden", "sibling threads are shown as cores: smt is \"hide\"");
    }
  }
  AppendFlat(count, mask, pinned_.empty() ? plan_.grow.size() : 0, plan_);
  NumberVcpus(plan_);
  ChooseMode(sharers.size(), restricted, shared_set);
  if (restricted) plan_.cpus = pinned_.Union(shared_set);
}

// R8
void Planner::Limit() {
  std::optional<MicroCpus> sum = 0;
  for (const Demand& demand : demands_) {
    plan_.shares += std::min<uint64_t>(demand.shares, kMaxLimitCpus);
    if (!demand.limit) sum.reset();
    if (sum) *sum += *demand.limit;
  }
  if (plan_.shares != 0) {
    plan_.weight = WeightFromShares(plan_.shares);
    Because("weight", "{}: shares {}", *plan_.weight, plan_.shares);
  }
  const bool pod_is_lower = pod_limit_ && (!sum || *pod_limit_ <= *sum);
  const ContainerRequest* exact = pod_is_lower              ? &*request_.pod
                                  : containers_.size() == 1 ? &containers_[0]
                                                            : nullptr;
  if (exact && exact->quota_us > 0) {
    plan_.cpu_max =
        CpuMax{exact->quota_us, exact->period_us ? exact->period_us : 100'000, BurstOf(*exact)};
  } else if (!exact && sum) {
    // Ten micro-CPUs are a microsecond of the usual period, of which the kernel takes no fewer than
    // 1000; one is a microsecond of the longest.
    const bool tiny = *sum < 10'000;
    plan_.cpu_max = CpuMax{static_cast<int64_t>(tiny ? *sum : *sum / 10),
                           tiny ? uint64_t{1'000'000} : 100'000, 0};
  }
  if (plan_.cpu_max) {
    Because("cpu_max", "{} {}: {}, in force once the guest is up", plan_.cpu_max->quota_us,
            plan_.cpu_max->period_us,
            !exact         ? "the sum of the containers' limits"
            : pod_is_lower ? "the pod's limit"
                           : "the container's limit");
  }
}

// R9
base::Result<void> Planner::ChooseMemory() {
  for (const ContainerRequest& container : containers_) {
    if (container.mems.empty()) continue;
    plan_.mems =
        plan_.mems.Union(TRY(PresentList(container.mems, host_.Nodes(), "mems", "memory node")));
  }
  if (!plan_.mems.empty()) {
    Because("mems", "{}: as asked", plan_.mems.ToString());
  } else if (plan_.mode == Mode::kPinned ||
             (plan_.mode == Mode::kMixed && plan_.nodes.size() > 1)) {
    for (const uint32_t id : pinned_) plan_.mems.Insert(host_.Find(id)->node);
    Because("mems", "{}: the nodes of the pinned CPUs", plan_.mems.ToString());
  }
  if (plan_.nodes.empty()) plan_.nodes.push_back({.host_node = host_.nodes.front().id});
  plan_.memory_mib = request_.memory_mib;
  ShareMemory(host_, plan_);
  const CpuSet from = plan_.mems.empty() ? host_.Nodes() : plan_.mems;
  const uint64_t present = host_.MemoryMib(from);
  if (present == 0 || plan_.memory_mib <= present) return base::Ok();
  return base::MakeError(Code::kResourceExhausted,
                         "a guest of {} MiB, and memory nodes {} of this host have {}",
                         plan_.memory_mib, from.ToString(), present);
}

// R7
void Planner::ChooseHousekeeping() {
  if (!policy_.housekeeping.empty()) {
    plan_.housekeeping = policy_.housekeeping.Intersection(online_);
    if (!plan_.housekeeping.empty()) {
      Because("housekeeping", "{}: as configured", plan_.housekeeping.ToString());
      const CpuSet both = plan_.housekeeping.Intersection(pinned_.Union(elsewhere_));
      if (!both.empty()) {
        AddNote("housekeeping_shared", "housekeeping CPUs {} are pinned too", both.ToString());
      }
      return;
    }
    AddNote("housekeeping_offline", "none of the configured housekeeping CPUs {} is online",
            policy_.housekeeping.ToString());
  }
  CpuSet mask = request_.shim_mask.Intersection(online_);
  // What the kernel gives every process that asks for nothing.
  if (mask.empty()) mask = online_.Without(host_.Isolated());
  if (mask.empty()) mask = online_;
  plan_.housekeeping = mask.Without(pinned_).Without(elsewhere_);
  if (!plan_.housekeeping.empty()) {
    Because("housekeeping", "{}: the shim's CPUs without pinned ones",
            plan_.housekeeping.ToString());
    return;
  }
  plan_.housekeeping = plan_.cpus.empty() ? allowed_ : plan_.cpus;
  AddNote("housekeeping_shared", "no CPU is left that nobody pins: the vmm's own threads run on {}",
          plan_.housekeeping.ToString());
}

base::Result<CpuPlan> Planner::Run() {
  plan_.notes = host_.notes;
  TRY(ReadDemands());
  NoteOddities();
  ChoosePins();
  TRY(CheckPins());
  PlaceVcpus();
  Limit();
  TRY(ChooseMemory());
  ChooseHousekeeping();
  return std::move(plan_);
}

}  // namespace

const char* ModeName(Mode mode) {
  switch (mode) {
    case Mode::kPinned:
      return "pinned";
    case Mode::kConfined:
      return "confined";
    case Mode::kFloating:
      return "floating";
    case Mode::kMixed:
      return "mixed";
  }
  return "?";
}

CpuSet CpuPlan::Pinned() const {
  CpuSet set;
  for (const VcpuPlan& vcpu : vcpus) {
    if (vcpu.host_cpu) set.Insert(*vcpu.host_cpu);
  }
  return set;
}

base::Result<CpuPlan> Plan(const HostTopology& host, const CpuRequest& request,
                           const Policy& policy) {
  if (host.cpus.empty() || host.nodes.empty()) {
    return base::MakeError(Code::kInvalidArgument, "a host without CPUs or memory nodes");
  }
  return Planner(host, request, policy).Run();
}

}  // namespace cpu
