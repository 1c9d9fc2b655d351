#include "runtime/cpu/plan.h"

#include <algorithm>
#include <utility>

#include "runtime/cpu/demand.h"
#include "runtime/cpu/guest_topology.h"

namespace cpu {
namespace {

using base::Code;

// One planning, step by step in the order of the rules.
class Planner {
 public:
  Planner(const HostTopology& host, const CpuRequest& request, const Policy& policy)
      : host_(host), request_(request), policy_(policy), online_(host.Online()) {}

  base::Result<CpuPlan> Run();

 private:
  base::Result<void> ReadDemands();
  base::Result<void> DecidePins();
  void PlaceVcpus();
  void Limit();
  base::Result<void> ChooseMemory();
  base::Result<void> ChooseHousekeeping();

  uint64_t MaxVcpus() const {
    const uint64_t host = host_.cpus.size();
    return policy_.max_vcpus == 0 ? host : std::min<uint64_t>(host, policy_.max_vcpus);
  }
  template <class... Args>
  void AddNote(const char* code, fmt::format_string<Args...> format, Args&&... args) {
    plan_.notes.push_back({code, fmt::format(format, std::forward<Args>(args)...)});
  }

  const HostTopology& host_;
  const CpuRequest& request_;
  const Policy& policy_;
  const CpuSet online_;

  CpuSet allowed_;
  std::vector<ContainerRequest> containers_;
  std::vector<Demand> demands_;
  std::optional<MicroCpus> pod_limit_;
  CpuSet pinned_;  // E of R0
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

// R4, R10
base::Result<void> Planner::DecidePins() {
  std::string why_not = "no CPUs were given (linux.resources.cpu.cpus)";
  for (const Demand& demand : demands_) {
    if (demand.pinned) pinned_ = pinned_.Union(demand.set);
    if (demand.own && !demand.pinned) {
      why_not =
          fmt::format("{} CPUs asked, limit allows {}", demand.set.size(), CeilCpus(*demand.limit));
    } else if (demand.has_cpus && !demand.own) {
      why_not = fmt::format(
          "CPUs {} are not the container's own: neither shares nor limit cover "
          "them",
          demand.set.ToString());
    }
  }
  if (!pinned_.empty() && pinned_.size() > MaxVcpus()) {
    why_not = fmt::format("{} CPUs asked, max_vcpus is {}", pinned_.size(), MaxVcpus());
    pinned_ = CpuSet();
  }
  if (pod_limit_ && !pinned_.empty() && CeilCpus(*pod_limit_) < pinned_.size()) {
    why_not = fmt::format("{} CPUs asked, the pod's limit allows {}", pinned_.size(),
                          CeilCpus(*pod_limit_));
    pinned_ = CpuSet();
  }
  if (policy_.pinning == Pinning::kOff) {
    if (!pinned_.empty()) {
      AddNote("pinning_off", "CPUs {} are not pinned: pinning is off", pinned_.ToString());
    }
    pinned_ = CpuSet();
    return base::Ok();
  }
  const CpuSet taken = pinned_.Intersection(request_.pinned_elsewhere);
  if (policy_.pinning == Pinning::kRequired && (pinned_.empty() || !taken.empty())) {
    return base::MakeError(
        Code::kFailedPrecondition, "pinning is required, but {}",
        pinned_.empty() ? why_not
                        : fmt::format("CPUs {} are pinned by another pod", taken.ToString()));
  }
  if (!taken.empty()) {
    AddNote("pins_overlap", "CPUs {} are pinned by another pod too", taken.ToString());
  }
  bool any_cpus = false;
  for (const Demand& demand : demands_) any_cpus = any_cpus || demand.has_cpus;
  if (pinned_.empty() && any_cpus) AddNote("not_pinned", "not pinned: {}", why_not);
  return base::Ok();
}

// R0, R3 for those that share; R4; R5 and R6
void Planner::PlaceVcpus() {
  CpuSet shared_set;
  std::optional<MicroCpus> limit = 0;
  uint64_t shares = 0, sharers = 0;
  bool has_cpus = false, restricted = true, own = true;
  for (const Demand& demand : demands_) {
    if (demand.pinned && !pinned_.empty()) continue;
    ++sharers;
    shared_set = shared_set.Union(demand.set);
    has_cpus = has_cpus || demand.has_cpus;
    restricted = restricted && demand.has_cpus;
    own = own && demand.own;
    shares += std::min<uint64_t>(demand.shares, kMaxLimitCpus);
    if (!demand.limit) limit.reset();
    if (limit) *limit += *demand.limit;
  }
  uint64_t count = 0;
  if (sharers > 0) {
    // A set that is own but may not be pinned still asks for a vCPU for each CPU.
    count = has_cpus && own && !limit
                ? shared_set.size()
                : SharedCount(request_.cri, has_cpus, limit, shares, policy_.default_vcpus);
    const uint64_t wanted = count;
    const uint64_t total = pod_limit_ ? std::min(MaxVcpus(), CeilCpus(*pod_limit_)) : MaxVcpus();
    const uint64_t room = total > pinned_.size() ? total - pinned_.size() : 0;
    const uint64_t highest = std::min<uint64_t>(shared_set.size(), room);
    count = std::clamp<uint64_t>(count, 1, std::max<uint64_t>(highest, 1));
    if (count < wanted) {
      AddNote("vcpus_clamped", "{} vCPUs instead of {}: CPUs {}, max_vcpus {}", count, wanted,
              shared_set.ToString(), MaxVcpus());
    }
  }
  if (!pinned_.empty()) {
    plan_.vcpus = MirrorHost(host_, pinned_, policy_.smt, plan_.nodes);
    if (policy_.smt == Smt::kHide) {
      AddNote("smt_hidden", "sibling threads are shown as cores: smt is \"hide\"");
    }
  }
  AppendFlat(plan_.vcpus, count, restricted ? shared_set : CpuSet());
  if (plan_.nodes.empty()) plan_.nodes = {host_.nodes.front().id};
  plan_.mode = pinned_.empty() ? (restricted ? Mode::kConfined : Mode::kFloating)
               : sharers == 0  ? Mode::kPinned
                               : Mode::kMixed;
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
  const bool pod_is_lower = pod_limit_ && (!sum || *pod_limit_ <= *sum);
  const ContainerRequest* exact = pod_is_lower              ? &*request_.pod
                                  : containers_.size() == 1 ? &containers_[0]
                                                            : nullptr;
  if (exact && exact->quota_us > 0) {
    plan_.cpu_max =
        CpuMax{exact->quota_us, exact->period_us ? exact->period_us : 100'000, exact->burst_us};
  } else if (!exact && sum) {
    // A tenth of a micro-CPU is a microsecond of the usual period.
    plan_.cpu_max = CpuMax{static_cast<int64_t>(*sum / 10), 100'000, 0};
  }
}

// R9
base::Result<void> Planner::ChooseMemory() {
  for (const ContainerRequest& container : containers_) {
    if (container.mems.empty()) continue;
    plan_.mems =
        plan_.mems.Union(TRY(PresentList(container.mems, host_.Nodes(), "mems", "memory node")));
  }
  if (plan_.mems.empty() && plan_.mode == Mode::kPinned) {
    for (const uint32_t node : plan_.nodes) plan_.mems.Insert(node);
  }
  return base::Ok();
}

// R7
base::Result<void> Planner::ChooseHousekeeping() {
  if (!policy_.housekeeping.empty()) {
    plan_.housekeeping = policy_.housekeeping.Intersection(online_);
    if (!plan_.housekeeping.empty()) return base::Ok();
    AddNote("housekeeping_offline", "none of the configured housekeeping CPUs {} is online",
            policy_.housekeeping.ToString());
  }
  const CpuSet mask =
      request_.shim_mask.empty() ? online_ : request_.shim_mask.Intersection(online_);
  plan_.housekeeping = mask.Without(pinned_).Without(request_.pinned_elsewhere);
  if (!plan_.housekeeping.empty()) return base::Ok();
  plan_.housekeeping = plan_.cpus.empty() ? allowed_ : plan_.cpus;
  AddNote("housekeeping_shared", "no CPU is left that nobody pins: the vmm's own threads run on {}",
          plan_.housekeeping.ToString());
  return base::Ok();
}

base::Result<CpuPlan> Planner::Run() {
  plan_.notes = host_.notes;
  TRY(ReadDemands());
  TRY(DecidePins());
  PlaceVcpus();
  Limit();
  TRY(ChooseMemory());
  TRY(ChooseHousekeeping());
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

base::Result<CpuPlan> Plan(const HostTopology& host, const CpuRequest& request,
                           const Policy& policy) {
  if (host.cpus.empty() || host.nodes.empty()) {
    return base::MakeError(Code::kInvalidArgument, "a host without CPUs or memory nodes");
  }
  return Planner(host, request, policy).Run();
}

}  // namespace cpu
