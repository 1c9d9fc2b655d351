// Pod: OCI hooks that run on the host, when the container is in the guest.
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

// OCI runtime-spec 1.2, runtime.md "Lifecycle", 4 and 5: prestart, then createRuntime.
void Pod::CallCreateHooks(const ContainerPtr& container,
                          std::function<void(base::Result<void>)> done) {
  std::vector<oci::Hook> hooks = container->hooks.hooks.prestart;
  const std::vector<oci::Hook>& create_runtime = container->hooks.hooks.create_runtime;
  hooks.insert(hooks.end(), create_runtime.begin(), create_runtime.end());
  CallHooks(container, "creating", hooks, std::move(done));
}

}  // namespace pod
