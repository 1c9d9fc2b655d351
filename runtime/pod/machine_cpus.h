// MachineCpus: CpuActions on a machine that runs: host side on the worker, vCPUs through the vmm,
// the guest through its agent.
//
// Thread rule: reactor-bound. Ownership: worker and machine are borrowed.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "runtime/pod/cpu_update.h"
#include "runtime/pod/machine.h"
#include "runtime/pod/placement.h"
#include "runtime/pod/worker.h"

namespace pod {

class MachineCpus final : public CpuActions {
 public:
  MachineCpus(Worker& worker, Machine& machine, std::shared_ptr<Placement> placement)
      : worker_(worker), machine_(machine), placement_(std::move(placement)) {}

  void Replan(const PlanChange& change,
              std::function<void(base::Result<Placement::Change>)> done) override;
  void Admit(const cpu::CpuPlan& from, const cpu::CpuPlan& to, Done done) override;
  void Commit(const PodPlan& plan, Done done) override;
  void Follow(Done done) override;
  void AddCpus(const Indices& indices, CpusDone done) override;
  void RemoveCpus(const Indices& indices, CpusDone done) override;
  void OnlineCpus(const Indices& indices, Done done) override;
  void OfflineCpus(const Indices& indices, Done done) override;
  void Confine(const std::string& container, const cpu::GuestCpuset& cpuset, Done done) override;

 private:
  Worker& worker_;
  Machine& machine_;
  const std::shared_ptr<Placement> placement_;  // shared: with jobs of the worker
};

}  // namespace pod
