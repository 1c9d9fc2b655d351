// Pod: what its containers ask of CPUs, as they come, change and go (cpu.md R0, R11, R12).
#include <utility>

#include "runtime/base/log.h"
#include "runtime/pod/pod_impl.h"

namespace pod {

using base::Code;
using base::MakeError;

void Pod::Update(const std::string& id, const std::string& resources_json, DoneCallback done) {
  base::Result<ContainerPtr> found = FindCreated(id);
  if (!found) return done(std::move(found.error()));
  if ((*found)->init->process.state() == Process::State::kStopped) {
    return done(MakeError(Code::kFailedPrecondition, "the container has ended"));
  }
  base::Result<oci::Resources> resources = oci::ParseLinuxResources(resources_json);
  if (!resources) return done(std::move(resources.error()));
  if (!machine_running()) return done(MachineEnded());
  if ((*found)->sandbox()) return done(base::Ok());  // nothing of it runs
  base::Result<void> fits =
      CheckMemoryLimit(*resources, (*found)->spec_json, placement_->memory_mib());
  if (!fits) return done(std::move(fits.error()));
  PlanChange change{PlanChange::Kind::kUpdate, id, resources->cpu.value_or(oci::CpuLimits())};
  // The guest is told its own CPUs and nodes; these are the host's.
  if (resources->cpu) {
    resources->cpu->cpus.clear();
    resources->cpu->mems.clear();
  }
  const auto in_guest = [this, id, json = oci::Serialise(*resources), weak = std::weak_ptr(*found)](
                            const cpu::GuestCpuset& cpuset, DoneCallback answer) {
    const ContainerPtr container = weak.lock();
    if (!container || container->init->process.state() == Process::State::kStopped) {
      return answer(MakeError(Code::kFailedPrecondition, "the container has ended"));
    }
    machine_->agent().Update(id, json, cpuset, std::move(answer));
  };
  cpu_update_->Ask({.change = std::move(change), .in_guest = in_guest, .done = std::move(done)});
}

void Pod::StartCpuUpdates() {
  machine_cpus_ = std::make_unique<MachineCpus>(worker_, *machine_, placement_);
  cpu_update_ = std::make_unique<CpuUpdate>(loop_, *machine_cpus_, boot_vcpus_, call_timeout_);
}

void Pod::EndCpuUpdates() {
  if (!cpu_update_) return;
  // Moved out: what it answers may come back here.
  const std::unique_ptr<CpuUpdate> ending = std::move(cpu_update_);
  ending->End("the pod's machine has ended: " + end_reason_);
  machine_cpus_.reset();
}

// As the last container takes the machine with it, only what others gain by is worth a change.
void Pod::LeaveCpus(const std::string& id) {
  if (!cpu_update_ || containers_.empty() || shutting_down_) return;
  cpu_update_->Ask({.change = {PlanChange::Kind::kLeave, id, {}},
                    .in_guest = {},
                    .done = [id](base::Result<void> result) {
                      if (!result) {
                        LOG_WARNING("container {} has gone, its CPUs are kept: {}", id,
                                    result.error().Trail());
                      }
                    }});
}

// Rule R7: other pods come and go; and so may the host's CPUs. What changed before the watch began
// is followed at once.
base::Result<void> Pod::WatchPins() {
  pin_watch_ = TRY(cpu::PinWatch::Create(loop_, state_->pins(), [this] { FollowPins(); }));
  host_watch_ = TRY(cpu::HostWatch::Create(loop_, [this] { FollowPins(); }));
  FollowPins();
  return base::Ok();
}

void Pod::FollowPins() {
  if (cpu_update_) return cpu_update_->Follow();
  if (!placement_) return;
  worker_.Compute<base::Result<void>>([placement = placement_] { return placement->Follow(); },
                                      [this](base::Result<void> followed) {
                                        if (!followed) {
                                          LOG_WARNING("pod {}: other pods' pins: {}",
                                                      options_.pod_id, followed.error().Trail());
                                        }
                                      });
}

}  // namespace pod
