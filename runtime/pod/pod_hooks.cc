// Pod: OCI hooks that run on the host.
//
// Most run when the container is in the guest. A pod whose network namespace has no path has an
// empty one, though, into which hooks may put a network (nerdctl's and docker's do, by the task's
// pid), and cards of the guest are there when it boots: the first container's hooks run before.
//
//   SetUpPod ─► SetUpContainer ─► anchor ─► prestart, createRuntime ─► join ─► Machine::Boot
#include <utility>

#include "runtime/base/log.h"
#include "runtime/pod/network.h"
#include "runtime/pod/pod_impl.h"

namespace pod {

void Pod::CallHooks(const ContainerPtr& container, const char* status,
                    const std::vector<oci::Hook>& hooks,
                    std::function<void(base::Result<void>)> done) {
  if (hooks.empty()) return done(base::Ok());
  oci::State state = container->hooks.state;
  state.status = status;
  state.pid = container->init->anchor ? container->init->pid : 0;
  worker_.Compute<base::Result<void>>([hooks, state] { return RunHooks(hooks, state); },
                                      std::move(done));
}

// OCI runtime-spec 1.2, runtime.md "Lifecycle", 4 and 5: prestart, then createRuntime.
void Pod::CallCreateHooks(const ContainerPtr& container,
                          std::function<void(base::Result<void>)> done) {
  if (std::exchange(container->hooked, true)) return done(base::Ok());
  std::vector<oci::Hook> hooks = container->hooks.hooks.prestart;
  const std::vector<oci::Hook>& create_runtime = container->hooks.hooks.create_runtime;
  hooks.insert(hooks.end(), create_runtime.begin(), create_runtime.end());
  CallHooks(container, "creating", hooks, std::move(done));
}

void Pod::CallHooksBeforeBoot(const ContainerPtr& first) {
  base::Result<void> anchored = Anchored(first);
  if (!anchored) return FailCreate(first, std::move(anchored.error()));
  CallCreateHooks(first, [this, weak = std::weak_ptr(first)](base::Result<void> hooked) {
    const ContainerPtr container = weak.lock();
    if (!container || container->failed || !late_boot_) return;
    if (!hooked) return FailCreate(container, std::move(hooked.error()));
    JoinBeforeBoot(container);
  });
}

void Pod::JoinBeforeBoot(const ContainerPtr& first) {
  worker_.Compute<base::Result<JoinedNetwork>>(
      [ns = base::BorrowedFd(network_ns_)] { return JoinWhatHooksMade(ns); },
      [this, weak = std::weak_ptr(first)](base::Result<JoinedNetwork> network) {
        const ContainerPtr container = weak.lock();
        if (!container || container->failed || !late_boot_) return;
        if (!network) return FailCreate(container, std::move(network.error()));
        for (const std::string& note : network->survey.notes) {
          LOG_INFO("pod {}: {}", options_.pod_id, note);
        }
        const std::unique_ptr<LateBoot> boot = std::exchange(late_boot_, nullptr);
        boot->machine.network = std::move(network->survey);
        boot->machine.taps = std::move(network->taps);
        BootMachine(std::move(boot->machine));
      });
}

}  // namespace pod
