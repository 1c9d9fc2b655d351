// Placement: changes of a machine that has been planned: other pods' pins, the host's CPUs, what
// the pod's containers ask (rules R7, R11).
#include <algorithm>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/cpu/affinity.h"
#include "runtime/cpu/request.h"
#include "runtime/pod/placement.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;

base::Result<std::map<std::string, cpu::GuestCpuset>> CpusetsOf(const PodPlan& pod) {
  std::map<std::string, cpu::GuestCpuset> cpusets;
  for (const auto& [id, container] : pod.containers) {
    cpusets[id] = TRY(cpu::TranslateCpuset(pod.plan, container), "container {}", id);
  }
  return cpusets;
}

using Requests = std::map<std::string, cpu::ContainerRequest>;

constexpr const char* kNotInForce = "plan_not_in_force";

base::Result<Requests> Changed(Requests requests, const PlanChange& change) {
  if (change.kind == PlanChange::Kind::kLeave) {
    requests.erase(change.container);
    return requests;
  }
  if (change.kind == PlanChange::Kind::kUpdate && !requests.contains(change.container)) {
    return MakeError(Code::kNotFound, "container {} is in no CPU plan", change.container);
  }
  cpu::ContainerRequest& request = requests[change.container];
  request = cpu::Updated(std::move(request), change.cpu);
  return requests;
}

// The CPUs that containers name. Their lists have been planned with, so they can be read.
cpu::CpuSet AskedCpus(const Requests& requests) {
  cpu::CpuSet asked;
  for (const auto& [id, request] : requests) {
    if (const auto cpus = cpu::CpuSet::Parse(request.cpus)) asked = asked.Union(*cpus);
  }
  return asked;
}

// A container that comes or goes leaves the others their vCPUs.
cpu::SharedVcpus SharedVcpusOf(const Requests& before, const PlanChange& change,
                               const Requests& after) {
  const bool less = change.kind == PlanChange::Kind::kUpdate &&
                    cpu::AsksLess(before.at(change.container), after.at(change.container));
  return less ? cpu::SharedVcpus::kAsAsked : cpu::SharedVcpus::kNoFewer;
}

}  // namespace

base::Result<cpu::PlanUpdate> Placement::PlanOnMachine(const cpu::CpuRequest& request,
                                                       const cpu::Policy& policy,
                                                       cpu::SharedVcpus shared) {
  return TRY(cpu::PlanAgain(host_, request, policy, plan_, shared), "plan CPUs");
}

// What the containers name and the host has not now. The plan stays as it is meanwhile.
bool Placement::NoteOfflineCpus() {
  std::erase_if(machine_, [](const cpu::Note& note) {
    return note.code == "pins_offline" || note.code == "cpus_offline" || note.code == kNotInForce;
  });
  const cpu::CpuSet offline = AskedCpus(containers_).Without(host_.Online());
  const cpu::CpuSet pinned = offline.Intersection(plan_.Pinned());
  const cpu::CpuSet shared = offline.Without(pinned);
  if (!pinned.empty()) {
    machine_.push_back(
        {"pins_offline", fmt::format("CPUs {} have gone offline on the host: their vCPUs run on "
                                     "others until these are back",
                                     pinned.ToString())});
  }
  if (!shared.empty()) {
    machine_.push_back(
        {"cpus_offline", fmt::format("CPUs {} have gone offline on the host: the vCPUs that share "
                                     "them do without until these are back",
                                     shared.ToString())});
  }
  return !offline.empty();
}

base::Result<void> Placement::Follow() {
  base::Result<void> followed = FollowHost();
  if (followed) return followed;
  std::erase_if(machine_, [](const cpu::Note& note) { return note.code == kNotInForce; });
  machine_.push_back({kNotInForce, fmt::format("masks and cgroups could not be set as planned: {}",
                                               followed.error().Message())});
  Publish();
  return followed;
}

base::Result<void> Placement::FollowHost() {
  TRY(ReadHost());
  cpu::PinRegistry::View others = TRY(registry_.Others(name_));
  request_.pinned_elsewhere = std::move(others.pins);
  const cpu::CpuSet housekeeping = plan_.housekeeping;
  const bool offline = NoteOfflineCpus();
  if (offline) {
    for (const cpu::OtherPins& other : request_.pinned_elsewhere) {
      const cpu::CpuSet left = plan_.housekeeping.Without(other.cpus);
      if (!left.empty()) plan_.housekeeping = left;
    }
  } else {
    // What this pod has pinned it has: others can no longer make its plan an error.
    cpu::Policy policy = policy_;
    if (policy.pinning == cpu::Pinning::kRequired) policy.pinning = cpu::Pinning::kAuto;
    cpu::PlanUpdate planned =
        TRY(PlanOnMachine(RequestOf(containers_), policy, cpu::SharedVcpus::kNoFewer));
    // How many vCPUs there are is not this call's to change.
    if (planned.added.empty() && planned.removed.empty()) {
      plan_ = std::move(planned.plan);
      plan_.notes.insert(plan_.notes.end(), others.notes.begin(), others.notes.end());
    }
  }
  Publish();
  if (vmm_ == 0) return base::Ok();  // Place will find the new plan
  if (plan_.housekeeping != housekeeping) {
    LOG_INFO("CPU plan: housekeeping moves from \"{}\" to \"{}\": other pods' pins have changed",
             housekeeping.ToString(), plan_.housekeeping.ToString());
  }
  TRY(SetHousekeeping());
  // cgroup v1 has taken CPUs that went offline out of the leaf for good, and takes none that are.
  // It has taken them out of the groups above as well: those are not ours, and this may fail.
  if (!offline) TRY(cgroup_->SetVcpuCpuset(plan_.cpus.ToString(), plan_.mems.ToString()));
  return SetMasks(plan_, nullptr);
}

base::Result<Placement::Change> Placement::Replan(const PlanChange& change) {
  Change replan;
  replan.before.plan = plan_;
  replan.before.containers = containers_;
  replan.before.cpusets = TRY(CpusetsOf(replan.before));
  const bool known = containers_.contains(change.container);
  if (change.kind == PlanChange::Kind::kNone || (change.kind == PlanChange::Kind::kJoin && known) ||
      (change.kind == PlanChange::Kind::kLeave && !known)) {
    replan.after = replan.before;
    replan.changes = false;
    return replan;
  }
  replan.after.containers = TRY(Changed(containers_, change));
  const cpu::SharedVcpus shared = SharedVcpusOf(containers_, change, replan.after.containers);
  TRY(ReadHost());
  const auto plan = [&](const cpu::PinRegistry::View& view) -> base::Result<cpu::CpuSet> {
    request_.pinned_elsewhere = view.pins;
    replan.after.plan =
        TRY(PlanOnMachine(RequestOf(replan.after.containers), policy_, shared)).plan;
    std::vector<cpu::Note>& notes = replan.after.plan.notes;
    notes.insert(notes.end(), view.notes.begin(), view.notes.end());
    replan.after.cpusets = TRY(CpusetsOf(replan.after));
    return replan.after.plan.Pinned().Union(plan_.Pinned());
  };
  const cpu::PinRegistry::View others = TRY(registry_.Others(name_));
  const cpu::CpuSet pins = TRY(plan(others));
  // The register's watchers, this pod among them, hear of every write.
  if (pins != recorded_) {
    TRY(registry_.Claim(name_, plan));
    recorded_ = replan.after.plan.Pinned().Union(plan_.Pinned());
  }
  return replan;
}

base::Result<void> Placement::Admit(const cpu::CpuPlan& from, const cpu::CpuPlan& to) {
  const bool restricted = !from.cpus.empty() && !to.cpus.empty();
  const bool bound = !from.mems.empty() && !to.mems.empty();
  TRY(cgroup_->SetVcpuCpuset(restricted ? from.cpus.Union(to.cpus).ToString() : "",
                             bound ? from.mems.Union(to.mems).ToString() : ""));
  // Housekeeping first: nothing else is to run where a vCPU is pinned from now on.
  TRY(MoveVmm(OnlineOf(to.housekeeping)));
  return SetMasks(to, &from);
}

base::Result<void> Placement::Commit(const PodPlan& plan) {
  TRY(cgroup_->SetVcpuCpuset(plan.plan.cpus.ToString(), plan.plan.mems.ToString()));
  TRY(SetMasks(plan.plan, nullptr));
  TRY(Limit(plan.plan));
  if (recorded_ != plan.plan.Pinned()) {
    TRY(registry_.Claim(name_, [&](const cpu::PinRegistry::View&) { return plan.plan.Pinned(); }));
    recorded_ = plan.plan.Pinned();
  }
  plan_ = plan.plan;
  containers_ = plan.containers;
  NoteOfflineCpus();
  TRY(SetHousekeeping());
  LOG_INFO("CPU plan: {} vCPUs, {}, cpus \"{}\", housekeeping \"{}\"", plan_.vcpus.size(),
           cpu::ModeName(plan_.mode), plan_.cpus.ToString(), plan_.housekeeping.ToString());
  Publish();
  return base::Ok();
}

}  // namespace pod
