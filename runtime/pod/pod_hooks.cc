// Pod: OCI hooks that run on the host.
#include <utility>

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

// OCI runtime-spec 1.2, runtime.md "Lifecycle", 4 and 5: prestart, then createRuntime. Before the
// container is made in the guest, because its sysctls may be of the network that hooks make.
void Pod::CallCreateHooks(const ContainerPtr& container, std::function<void()> then) {
  std::vector<oci::Hook> hooks = container->hooks.hooks.prestart;
  const std::vector<oci::Hook>& create_runtime = container->hooks.hooks.create_runtime;
  hooks.insert(hooks.end(), create_runtime.begin(), create_runtime.end());
  if (hooks.empty()) return then();
  base::Result<void> anchored = Anchored(container);
  if (!anchored) return FailCreate(container, std::move(anchored.error()));
  const auto go_on = [this, weak = std::weak_ptr(container),
                      then = std::move(then)](base::Result<void> joined) {
    const ContainerPtr creating = weak.lock();
    if (!creating || creating->failed || !machine_running()) return;
    if (!joined) return FailCreate(creating, std::move(joined.error()));
    then();
  };
  CallHooks(container, "creating", hooks, [this, go_on](base::Result<void> hooked) {
    if (!hooked) return go_on(std::move(hooked));
    JoinLateNetwork(go_on);
  });
}

}  // namespace pod
