#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "vmm/jail/jail.h"

namespace vmm::jail {
namespace {

// 1023 vsock connections, queues, disks and what the machine itself has.
constexpr rlim_t kMaxFds = 4096;
// vCPU threads and KVM's helpers, which count for our uid.
constexpr rlim_t kMaxThreads = 2048;

// A directory of every Linux host to put the new root over, in our mount namespace alone.
constexpr const char* kMountPoint = "/proc";

base::Result<void> EmptyRoot() {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return base::ErrnoError("jail: make all mounts private");
  }
  if (mount("jail", kMountPoint, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
            "size=4k,nr_inodes=1,mode=0") != 0) {
    return base::ErrnoError("jail: mount an empty root");
  }
  if (chdir(kMountPoint) != 0) return base::ErrnoError("jail: chdir to the new root");
  // pivot_root(2), "pivot_root(".", ".")": the old root is stacked on the new one, and goes.
  if (syscall(SYS_pivot_root, ".", ".") != 0) return base::ErrnoError("jail: pivot_root");
  if (umount2(".", MNT_DETACH) != 0) return base::ErrnoError("jail: detach the old root");
  if (chdir("/") != 0) return base::ErrnoError("jail: chdir to /");
  return base::Ok();
}

base::Result<void> SetLimit(__rlimit_resource resource, rlim_t value, const char* name) {
  const rlimit limit{value, value};
  if (setrlimit(resource, &limit) != 0) return base::ErrnoError("jail: {} {}", name, value);
  return base::Ok();
}

// Every capability there is, without knowing how many this kernel has.
base::Result<void> DropBoundingSet() {
  for (unsigned long capability = 0;; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL && capability > 0) return base::Ok();
    return base::ErrnoError("jail: drop capability {} from the bounding set", capability);
  }
}

base::Result<void> DropCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capset, &header, none) != 0) return base::ErrnoError("jail: capset");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return base::ErrnoError("jail: clear ambient capabilities");
  }
  return base::Ok();
}

base::Result<void> ChangeIds(uid_t uid, gid_t gid) {
  if (setgroups(0, nullptr) != 0) return base::ErrnoError("jail: setgroups");
  if (setresgid(gid, gid, gid) != 0) return base::ErrnoError("jail: setresgid({})", gid);
  if (setresuid(uid, uid, uid) != 0) return base::ErrnoError("jail: setresuid({})", uid);
  return base::Ok();
}

}  // namespace

base::Result<void> EnterJail(uid_t uid, gid_t gid, int highest_fd) {
  if (uid == 0 || gid == 0) {
    return base::MakeError(base::Code::kInvalidArgument, "jail: uid {} gid {}: must not be 0", uid,
                           gid);
  }
  TRY(EmptyRoot());
  if (close_range(static_cast<unsigned>(highest_fd) + 1, ~0U, 0) != 0) {
    return base::ErrnoError("jail: close descriptors above {}", highest_fd);
  }
  TRY(SetLimit(RLIMIT_NOFILE, kMaxFds, "RLIMIT_NOFILE"));
  TRY(SetLimit(RLIMIT_NPROC, kMaxThreads, "RLIMIT_NPROC"));
  TRY(SetLimit(RLIMIT_CORE, 0, "RLIMIT_CORE"));
  TRY(DropBoundingSet());
  TRY(ChangeIds(uid, gid));
  TRY(DropCapabilities());
  // After the ids: changing them sets it anew.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return base::ErrnoError("jail: PR_SET_DUMPABLE");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return base::ErrnoError("jail: PR_SET_NO_NEW_PRIVS");
  }
  return base::Ok();
}

}  // namespace vmm::jail
