#include "runtime/pod/clean_up.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/cgroup/pod_cgroup.h"
#include "runtime/cpu/pin_registry.h"
#include "runtime/network/pod_network.h"
#include "runtime/pod/pod.h"
#include "runtime/storage/unmount.h"

namespace pod {
namespace {

// The kernel takes a large guest apart before its vmm is gone; containerd gives `delete` 5 s.
constexpr int kEndTimeoutMs = 3000;
constexpr uint32_t kKilledStatus = 128 + SIGKILL;

// Keeps the first error.
void Note(base::Result<void> step, base::Result<void>* first) {
  if (!step && *first) *first = std::move(step);
}

std::string RunDirOf(const std::string& bundle) {
  base::Result<std::string> text = base::ReadFile(bundle + "/" + kRunDirFile, 4096);
  return text && text->starts_with('/') ? *text : kDefaultRunDir;
}

}  // namespace

base::Result<void> EndProcess(const ProcessRecord& process) {
  const base::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd) {
    // EINVAL: the number lives on as that of a session or a process group only.
    if (errno == ESRCH || errno == EINVAL) return base::Ok();
    return base::ErrnoError("pidfd_open({})", process.pid);
  }
  // The pidfd is held: what is found now under this number is what the signal goes to.
  const base::Result<ProcessRecord> now = DescribeProcess(process.role, process.pid);
  if (!now || now->start_ticks != process.start_ticks) return base::Ok();
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
    return base::ErrnoError("kill {} {}", process.role, process.pid);
  }
  pollfd poll_fd{pidfd.get(), POLLIN, 0};
  if (poll(&poll_fd, 1, kEndTimeoutMs) != 1) {
    return base::MakeError(base::Code::kDeadlineExceeded, "{} {} lives on after SIGKILL",
                           process.role, process.pid);
  }
  return base::Ok();
}

base::Result<void> RemovePod(StateDirectory& state) {
  base::Result<void> first;
  const Record& record = state.record();
  for (const ProcessRecord& process : record.processes) Note(EndProcess(process), &first);
  if (record.network) {
    Note(network::Leave(record.network->path, record.network->identity, record.network->links),
         &first);
  }
  Note(storage::UnmountTree(state.share()), &first);
  for (const auto& [id, rootfs] : record.rootfs) Note(storage::UnmountTree(rootfs), &first);
  for (const std::string& path : record.cgroups) {
    Note(cgroup::PodCgroup::RemoveAt(path, ""), &first);
  }
  // After the processes: these CPUs are free once nothing of the pod runs there.
  Note(cpu::PinRegistry(state.pins()).Release(state.name()), &first);
  if (!first) {
    first.error().Push(__FILE__, __LINE__, "remove {}", state.path());
    return first;
  }
  return state.Remove();
}

base::Result<DeleteInfo> CleanUp(const std::string& ns, const std::string& key,
                                 const std::string& bundle) {
  DeleteInfo info;
  info.exit_status = kKilledStatus;
  clock_gettime(CLOCK_REALTIME, &info.exited_at);
  std::optional<StateDirectory> state = TRY(StateDirectory::Find(RunDirOf(bundle), ns, key));
  if (state) {
    // Any of the pod's: the bundle of a container knows its own (bundle_record.h).
    for (const ProcessRecord& process : state->record().processes) {
      if (process.role == "anchor") info.pid = process.pid;
    }
    TRY(RemovePod(*state));
  }
  TRY(storage::UnmountTree(bundle + "/rootfs"));
  return info;
}

}  // namespace pod
