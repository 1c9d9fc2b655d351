// Pod: the sandbox container of a CRI pod, "pause". Elsewhere its process holds the namespaces that
// the pod's containers share; here the machine does, so that it is no process at all: an anchor on
// the host, which containerd and CNI know it by, and settings of the guest.
#include <signal.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <utility>

#include "runtime/base/file.h"
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

// What pause shows elsewhere: one process that does nothing, here the anchor. What the pod uses is
// in its containers' figures, and in its cgroup on the host.
ContainerStats Pod::SandboxStats(const ContainerPtr& container) {
  ContainerStats stats;
  if (!container->init->anchor) return stats;
  stats.values["pids.current"] = 1;
  const base::Result<std::string> statm =
      base::ReadFile(fmt::format("/proc/{}/statm", container->init->pid));
  uint64_t pages = 0, resident = 0;  // proc(5), the first two
  if (statm && std::sscanf(statm->c_str(), "%" SCNu64 " %" SCNu64, &pages, &resident) == 2) {
    stats.values["memory.current"] = resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  return stats;
}

}  // namespace pod
