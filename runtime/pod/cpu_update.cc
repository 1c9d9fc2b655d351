#include "runtime/pod/cpu_update.h"

#include <algorithm>
#include <utility>

#include "runtime/base/log.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;

std::string ListOf(const CpuActions::Indices& indices) {
  cpu::CpuSet set;
  for (const uint32_t index : indices) set.Insert(index);
  return set.ToString();
}

}  // namespace

CpuUpdate::CpuUpdate(base::EventLoop& loop, CpuActions& actions, size_t vcpus,
                     std::chrono::nanoseconds vmm_timeout)
    : loop_(loop), actions_(actions), vmm_timeout_(vmm_timeout) {
  for (uint32_t index = 0; index < vcpus; ++index) there_.insert(index);
  online_ = there_;
}

void CpuUpdate::Ask(Request request) {
  if (ended_) {
    if (request.done) request.done(MakeError(Code::kUnavailable, "the machine has ended"));
    return;
  }
  jobs_.push_back({.request = std::move(request)});
  if (!running_) Next();
}

void CpuUpdate::Follow() {
  // One that waits does for all.
  const size_t running = running_ ? 1 : 0;
  for (size_t i = running; i < jobs_.size(); ++i) {
    if (jobs_[i].follows) return;
  }
  if (ended_) return;
  jobs_.push_back({.request = {}, .follows = true});
  if (!running_) Next();
}

void CpuUpdate::End(const std::string& why) {
  ended_ = true;
  patience_.Cancel();
  alive_ = std::make_shared<bool>(true);  // what still comes is dropped
  for (const Job& job : std::exchange(jobs_, {})) {
    if (job.request.done) job.request.done(MakeError(Code::kUnavailable, "{}", why));
  }
}

CpuUpdate::Done CpuUpdate::Settler() {
  return [this, alive = std::weak_ptr(alive_)](base::Result<void> result) {
    if (!alive.expired()) Settle(std::move(result));
  };
}

void CpuUpdate::Next() {
  if (jobs_.empty()) {
    running_ = false;
    return;
  }
  running_ = true;
  going_back_ = false;
  error_.reset();
  not_undone_.clear();
  stage_ = Stage::kFinished;
  if (jobs_.front().follows) return actions_.Follow(Settler());
  actions_.Replan(jobs_.front().request.change,
                  [this, alive = std::weak_ptr(alive_)](base::Result<Placement::Change> change) {
                    if (!alive.expired()) OnReplanned(std::move(change));
                  });
}

void CpuUpdate::OnReplanned(base::Result<Placement::Change> change) {
  if (!change) {
    error_ = std::move(change.error());
    return Finish();
  }
  change_ = std::move(*change);
  // What nobody asks about any more is forgotten.
  std::erase_if(confined_, [this](const auto& row) {
    return !change_.before.containers.contains(row.first) &&
           !change_.after.containers.contains(row.first);
  });
  unchanged_ = !change_.changes && Missing(there_).empty() && Extra(there_).empty() &&
               Missing(online_).empty();
  Enter(Stage::kAdmit);
}

void CpuUpdate::Enter(Stage stage) {
  stage_ = stage;
  Run();
}

CpuActions::Indices CpuUpdate::Missing(const std::set<uint32_t>& from) const {
  CpuActions::Indices missing;
  for (const cpu::VcpuPlan& vcpu : target().plan.vcpus) {
    if (!from.contains(vcpu.index)) missing.push_back(vcpu.index);
  }
  return missing;
}

CpuActions::Indices CpuUpdate::Extra(const std::set<uint32_t>& from) const {
  std::set<uint32_t> extra = from;
  for (const cpu::VcpuPlan& vcpu : target().plan.vcpus) extra.erase(vcpu.index);
  return {extra.begin(), extra.end()};
}

void CpuUpdate::Run() {
  switch (stage_) {
    case Stage::kAdmit:
      if (unchanged_) return Settle(base::Ok());
      return actions_.Admit(other().plan, target().plan, Settler());
    case Stage::kAdd:
      return ChangeCpus(/*adds=*/true, Missing(there_));
    case Stage::kOnline: {
      const CpuActions::Indices offline = Missing(online_);
      if (offline.empty()) return Settle(base::Ok());
      return actions_.OnlineCpus(offline, [settle = Settler(), offline, this,
                                           alive = std::weak_ptr(alive_)](base::Result<void> done) {
        if (alive.expired()) return;
        if (done) online_.insert(offline.begin(), offline.end());
        settle(std::move(done));
      });
    }
    case Stage::kContainers:
      return ConfineNext();
    case Stage::kInGuest:
      return CallInGuest();
    case Stage::kOffline: {
      const CpuActions::Indices leaving = Extra(online_);
      if (leaving.empty()) return Settle(base::Ok());
      // After an error nobody knows which are; bringing one online that is so already is no error.
      for (const uint32_t index : leaving) online_.erase(index);
      return actions_.OfflineCpus(leaving, Settler());
    }
    case Stage::kRemove:
      return ChangeCpus(/*adds=*/false, Extra(there_));
    case Stage::kCommit:
      if (unchanged_) return Settle(base::Ok());
      return actions_.Commit(target(), Settler());
    case Stage::kFinished:
      return Finish();
  }
}

// Containers other than the one that the change is about, which is told with the change.
void CpuUpdate::ConfineNext() {
  const Request& request = jobs_.front().request;
  for (const auto& [id, cpuset] : target().cpusets) {
    if (confined_[id] == cpuset) continue;
    const bool with_change = request.in_guest && request.change.container == id;
    if (with_change && (!going_back_ || request.change.kind == PlanChange::Kind::kJoin)) continue;
    return actions_.Confine(id, cpuset,
                            [this, id = id, cpuset = cpuset, settle = Settler(),
                             alive = std::weak_ptr(alive_)](base::Result<void> done) {
                              if (alive.expired()) return;
                              confined_[id] = cpuset;
                              if (!done && done.error().code() != Code::kNotFound)
                                return settle(std::move(done));
                              ConfineNext();
                            });
  }
  Settle(base::Ok());
}

void CpuUpdate::CallInGuest() {
  const Request& request = jobs_.front().request;
  if (going_back_ || !request.in_guest) return Settle(base::Ok());
  const std::string& id = request.change.container;
  const cpu::GuestCpuset cpuset =
      target().cpusets.contains(id) ? target().cpusets.at(id) : cpu::GuestCpuset();
  confined_[id] = cpuset;
  request.in_guest(cpuset, Settler());
}

void CpuUpdate::ChangeCpus(bool adds, const CpuActions::Indices& indices) {
  if (indices.empty()) return Settle(base::Ok());
  const uint64_t call = waits_for_ = ++calls_;
  patience_ = loop_.After(vmm_timeout_, [this, adds, indices] {
    waits_for_ = 0;
    Settle(MakeError(Code::kDeadlineExceeded, "the guest did not answer to {} of vCPUs {}",
                     adds ? "the coming" : "the going", ListOf(indices)));
  });
  const auto done = [this, call, adds, indices, alive = std::weak_ptr(alive_)](
                        base::Result<void> result, CpuActions::Indices cpus) {
    if (alive.expired()) return;
    // The vmm's word counts for what it was asked.
    std::erase_if(cpus, [&](uint32_t cpu) {
      return std::find(indices.begin(), indices.end(), cpu) == indices.end();
    });
    OnCpusChanged(call, adds, std::move(result), cpus);
  };
  if (adds) return actions_.AddCpus(indices, done);
  actions_.RemoveCpus(indices, done);
}

void CpuUpdate::OnCpusChanged(uint64_t call, bool adds, base::Result<void> result,
                              const CpuActions::Indices& cpus) {
  for (const uint32_t cpu : cpus) {
    if (adds) {
      there_.insert(cpu);
    } else {
      there_.erase(cpu);
      online_.erase(cpu);
    }
  }
  if (call == waits_for_) {
    waits_for_ = 0;
    patience_.Cancel();
    return Settle(std::move(result));
  }
  if (cpus.empty()) return;
  LOG_WARNING("vCPUs {} have {} late: the plan in force is restored", ListOf(cpus),
              adds ? "come" : "gone");
  Ask({});
}

void CpuUpdate::Settle(base::Result<void> result) {
  if (jobs_.front().follows) {
    if (!result) LOG_WARNING("CPU plan: {}", result.error().Trail());
    return Finish();
  }
  if (!result) {
    static constexpr const char* kDoing[] = {
        "admit the new CPUs", "add vCPUs",          "bring vCPUs online", "confine the containers",
        "the guest's part",   "take vCPUs offline", "remove vCPUs",       "put the plan in force"};
    const char* const doing = kDoing[static_cast<size_t>(stage_)];
    // The machine is ending: End comes, and there is nothing to go back to.
    if (result.error().code() == Code::kUnavailable) {
      error_ = std::move(result.error());
      return Finish();
    }
    if (!going_back_) {
      // What the container asks of the guest speaks for itself.
      if (stage_ != Stage::kInGuest) {
        result.error().Push(__FILE__, __LINE__, "{} (the earlier CPU plan stays in force)", doing);
      }
      error_ = std::move(result.error());
      going_back_ = true;
      return Enter(Stage::kAdmit);
    }
    not_undone_ +=
        fmt::format("{}{}: {}", not_undone_.empty() ? "" : "; ", doing, result.error().Message());
  }
  Enter(static_cast<Stage>(static_cast<int>(stage_) + 1));
}

void CpuUpdate::Finish() {
  const Done done = std::move(jobs_.front().request.done);
  jobs_.pop_front();
  base::Result<void> result;
  if (error_) {
    if (!not_undone_.empty()) {
      error_->Push(__FILE__, __LINE__, "what could not be undone: {}", not_undone_);
    }
    result = std::move(*error_);
  }
  const std::weak_ptr<bool> alive = alive_;
  if (done) done(std::move(result));
  if (!alive.expired()) Next();
}

}  // namespace pod
