#include "runtime/agent/boot.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <sstream>
#include <string>

#include "runtime/agent/devices.h"
#include "runtime/agent/kmsg.h"
#include "runtime/agent/loopback.h"
#include "runtime/agent/modules.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

constexpr char kNewRoot[] = "/root-of-agent";
constexpr char kModules[] = "/modules";

struct BootMount {
  const char* type;
  const char* target;  // below the new root
  unsigned long flags;
  const char* data;
};

constexpr unsigned long kQuiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;

// In order: a mount comes after what it lies in.
constexpr BootMount kMounts[] = {
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
    {"proc", "/proc", kQuiet, ""},
    {"sysfs", "/sys", kQuiet, ""},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"cgroup2", kCgroupRoot, kQuiet, "nsdelegate,memory_recursiveprot"},
};

void Report(const base::Result<void>& result) {
  if (!result) KmsgLine(KmsgLevel::kError, result.error().Message());
}

base::Result<void> MountOne(const BootMount& row, const std::string& root) {
  const std::string target = root + row.target;
  TRY(base::MakeDirectories(target));
  if (mount(row.type, target.c_str(), row.type, row.flags, row.data) != 0) {
    return base::ErrnoError("mount {} on {}", row.type, row.target);
  }
  return base::Ok();
}

// pivot_root(2) refuses to move the initramfs ("rootfs"), and a container must leave the agent's
// root by pivot_root, not by a chroot it could climb out of. So the agent first moves itself to a
// tmpfs mounted over "/", as switch_root(8) does.
base::Result<void> LeaveInitramfs() {
  if (chdir(kNewRoot) != 0) return base::ErrnoError("chdir {}", kNewRoot);
  if (mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return base::ErrnoError("move the root");
  if (chroot(".") != 0) return base::ErrnoError("chroot to the new root");
  if (chdir("/") != 0) return base::ErrnoError("chdir /");
  return base::Ok();
}

// The initramfs stays in memory for ever, below the new root; without this, so would the modules
// and the agent's own file.
void FreeInitramfs() {
  unlink("/init");
  RemoveModules(kModules);
  RemoveModules(kNetworkModules);
}

// The kernel opens /dev/console for 0-2 if the initramfs has one. Nothing here may read the
// console or write to it but through the kernel log.
base::Result<void> StdioToNull() {
  const base::UniqueFd null = TRY(base::Open("/dev/null", O_RDWR));
  for (int fd = 0; fd <= 2; ++fd) {
    if (dup2(null.get(), fd) < 0) return base::ErrnoError("dup2 {}", fd);
  }
  return base::Ok();
}

// For containers that have our /dev for theirs (a volume of the host's /dev).
base::Result<void> LinkDevices() {
  return MakeDeviceLinks(TRY(base::Open("/", O_PATH | O_DIRECTORY)));
}

base::Result<void> MountShare() {
  TRY(base::MakeDirectories(kShareRoot));
  if (mount(kShareTag, kShareRoot, "virtiofs", MS_NODEV, nullptr) != 0) {
    return base::ErrnoError("mount virtio-fs tag \"{}\" on {}", kShareTag, kShareRoot);
  }
  return base::Ok();
}

// By itself the kernel gives TCP's buffers a tenth of the RAM, which is a lot on the machines that
// it thinks of and 19 MiB here: ten clients who read slowly fill that, and then a server that
// closes behind its last byte resets the connection instead (tcp(7), tcp_mem). Containers pay for
// their sockets from their own memory limits.
base::Result<void> AllowTcpMemory() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  return base::WriteFile("/proc/sys/net/ipv4/tcp_mem",
                         fmt::format("{} {} {}", pages / 8, pages / 16 * 3, pages / 4));
}

}  // namespace

base::Result<void> EnableControllers(const std::string& cgroup_directory) {
  const std::string available =
      TRY(base::ReadFile(cgroup_directory + "/cgroup.controllers"), "cgroup controllers");
  std::istringstream words(available);
  base::Result<void> result = base::Ok();
  // One write each: a controller that refuses must not take the others with it.
  for (std::string word; words >> word;) {
    base::Result<void> one =
        base::WriteFile(cgroup_directory + "/cgroup.subtree_control", "+" + word);
    if (!one && result) result = std::move(one);
  }
  return result;
}

base::Result<void> BootGuest() {
  umask(0022);
  // A node of our own in the initramfs, so that the first mount already has a log to complain to.
  mkdir("/dev", 0755);
  mknod("/dev/kmsg", S_IFCHR | 0600, makedev(1, 11));
  OpenKmsg();
  TRY(base::MakeDirectories(kNewRoot));
  // mode 0755: the containers' root user is not always root here.
  if (mount("tmpfs", kNewRoot, "tmpfs", 0, "mode=0755,size=64m") != 0) {
    return base::ErrnoError("mount tmpfs on {}", kNewRoot);
  }
  for (const BootMount& row : kMounts) Report(MountOne(row, kNewRoot));
  for (const std::string& problem : LoadModules(kModules)) {
    KmsgLine(KmsgLevel::kError, problem);
  }
  // Out of reach from the new root, but to be loaded later.
  Report(CopyModules(kNetworkModules, std::string(kNewRoot) + kNetworkModules));
  FreeInitramfs();
  TRY(LeaveInitramfs());
  Report(StdioToNull());
  Report(LinkDevices());
  Report(EnableControllers(kCgroupRoot));
  Report(BringLoopbackUp());
  Report(AllowTcpMemory());
  Report(MountShare());
  // What containers do not set is inherited: do not hand down the boot default of 1024 files.
  const rlimit files{1U << 20, 1U << 20};
  setrlimit(RLIMIT_NOFILE, &files);
  static constexpr char kHostname[] = "pinion";
  if (sethostname(kHostname, sizeof kHostname - 1) != 0) Report(base::ErrnoError("sethostname"));
  return base::Ok();
}

}  // namespace agent
