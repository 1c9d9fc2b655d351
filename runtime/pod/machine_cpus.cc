#include "runtime/pod/machine_cpus.h"

namespace pod {

void MachineCpus::Replan(const PlanChange& change,
                         std::function<void(base::Result<Placement::Change>)> done) {
  worker_.Compute<base::Result<Placement::Change>>(
      [placement = placement_, change] { return placement->Replan(change); }, std::move(done));
}

void MachineCpus::Admit(const cpu::CpuPlan& from, const cpu::CpuPlan& to, Done done) {
  worker_.Compute<base::Result<void>>(
      [placement = placement_, from, to] { return placement->Admit(from, to); }, std::move(done));
}

void MachineCpus::Commit(const PodPlan& plan, Done done) {
  worker_.Compute<base::Result<void>>(
      [placement = placement_, plan] { return placement->Commit(plan); }, std::move(done));
}

void MachineCpus::Follow(Done done) {
  worker_.Compute<base::Result<void>>([placement = placement_] { return placement->Follow(); },
                                      std::move(done));
}

void MachineCpus::AddCpus(const Indices& indices, CpusDone done) {
  machine_.AddCpus(indices, std::move(done));
}

void MachineCpus::RemoveCpus(const Indices& indices, CpusDone done) {
  machine_.RemoveCpus(indices, std::move(done));
}

void MachineCpus::OnlineCpus(const Indices& indices, Done done) {
  machine_.agent().OnlineCpus(indices, std::move(done));
}

void MachineCpus::OfflineCpus(const Indices& indices, Done done) {
  machine_.agent().OfflineCpus(indices, std::move(done));
}

void MachineCpus::Confine(const std::string& container, const cpu::GuestCpuset& cpuset, Done done) {
  machine_.agent().Update(container, "{}", cpuset, std::move(done));
}

}  // namespace pod
