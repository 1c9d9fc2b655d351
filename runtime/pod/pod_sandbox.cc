// Pod: the sandbox container of a CRI pod, "pause". Elsewhere its process holds the namespaces that
// the pod's containers share; here the machine does, so that it is no process at all: an anchor on
// the host, which containerd and CNI know it by, and settings of the guest.
#include <signal.h>

#include <utility>

#include "runtime/base/log.h"
#include "runtime/pod/pod_impl.h"

namespace pod {

void Pod::CreateSandbox(const ContainerPtr& container) {
  machine_->agent().ConfigurePod(
      *container->pod_settings, [this, weak = std::weak_ptr(container)](base::Result<void> result) {
        if (const ContainerPtr created = weak.lock()) {
          OnCreatedInGuest(created, std::move(result));
        }
      });
}

// As pause behaves: it ends with 0 by SIGINT and SIGTERM, and, being the first of its pid
// namespace, takes no notice of other signals but SIGKILL.
void Pod::KillSandbox(const ContainerPtr& container, uint32_t signal, const DoneCallback& done) {
  if (signal == SIGKILL) ContainerEnded(container, kKilledStatus);
  if (signal == SIGINT || signal == SIGTERM) ContainerEnded(container, 0);
  done(base::Ok());
}

}  // namespace pod
