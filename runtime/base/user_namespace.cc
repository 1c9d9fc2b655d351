#include "runtime/base/user_namespace.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/file.h"

namespace base {
namespace {

Result<void> WriteMappings(pid_t pid, const char* file, const std::vector<IdMapping>& mappings) {
  std::string lines;
  for (const IdMapping& one : mappings) {
    lines += fmt::format("{} {} {}\n", one.container_id, one.host_id, one.size);
  }
  TRY(WriteFile(fmt::format("/proc/{}/{}", pid, file), lines), "{} \"{}\"", file, lines);
  return Ok();
}

}  // namespace

std::optional<uint32_t> HostId(const std::vector<IdMapping>& mappings, uint32_t container_id) {
  for (const IdMapping& one : mappings) {
    const uint32_t offset = container_id - one.container_id;
    if (container_id >= one.container_id && offset < one.size) return one.host_id + offset;
  }
  return std::nullopt;
}

Result<void> WriteIdMap(pid_t pid, const IdMap& map) {
  TRY(WriteMappings(pid, "uid_map", map.uids));
  return WriteMappings(pid, "gid_map", map.gids);
}

Result<UniqueFd> MakeUserNamespace(const IdMap& map) {
  int fd = -1;
  clone_args args{};
  // No exit signal: nobody who waits for all of the program's children is to hear of it.
  args.flags = CLONE_NEWUSER | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<__u64>(&fd);
  const pid_t parent = getpid();
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return ErrnoError("clone into a user namespace");
  if (pid == 0) {
    // It ends with the thread that made it, which kills it anyway.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // gone before that was said
    while (true) pause();
  }
  const UniqueFd pidfd(fd);
  const auto open_namespace = [&]() -> Result<UniqueFd> {
    TRY(WriteIdMap(static_cast<pid_t>(pid), map));
    return Open(fmt::format("/proc/{}/ns/user", pid), O_RDONLY);
  };
  Result<UniqueFd> made = open_namespace();
  syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  siginfo_t info{};
  while (waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd.get()), &info,
                WEXITED | __WALL) != 0 &&
         errno == EINTR) {
  }
  return made;
}

}  // namespace base
