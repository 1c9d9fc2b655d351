#include "runtime/agent/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string_view>

namespace agent {
namespace {

// In the order of their numbers, linux/capability.h.
constexpr std::string_view kNames[] = {"CAP_CHOWN",
                                       "CAP_DAC_OVERRIDE",
                                       "CAP_DAC_READ_SEARCH",
                                       "CAP_FOWNER",
                                       "CAP_FSETID",
                                       "CAP_KILL",
                                       "CAP_SETGID",
                                       "CAP_SETUID",
                                       "CAP_SETPCAP",
                                       "CAP_LINUX_IMMUTABLE",
                                       "CAP_NET_BIND_SERVICE",
                                       "CAP_NET_BROADCAST",
                                       "CAP_NET_ADMIN",
                                       "CAP_NET_RAW",
                                       "CAP_IPC_LOCK",
                                       "CAP_IPC_OWNER",
                                       "CAP_SYS_MODULE",
                                       "CAP_SYS_RAWIO",
                                       "CAP_SYS_CHROOT",
                                       "CAP_SYS_PTRACE",
                                       "CAP_SYS_PACCT",
                                       "CAP_SYS_ADMIN",
                                       "CAP_SYS_BOOT",
                                       "CAP_SYS_NICE",
                                       "CAP_SYS_RESOURCE",
                                       "CAP_SYS_TIME",
                                       "CAP_SYS_TTY_CONFIG",
                                       "CAP_MKNOD",
                                       "CAP_LEASE",
                                       "CAP_AUDIT_WRITE",
                                       "CAP_AUDIT_CONTROL",
                                       "CAP_SETFCAP",
                                       "CAP_MAC_OVERRIDE",
                                       "CAP_MAC_ADMIN",
                                       "CAP_SYSLOG",
                                       "CAP_WAKE_ALARM",
                                       "CAP_BLOCK_SUSPEND",
                                       "CAP_AUDIT_READ",
                                       "CAP_PERFMON",
                                       "CAP_BPF",
                                       "CAP_CHECKPOINT_RESTORE"};
static_assert(std::size(kNames) == CAP_LAST_CAP + 1);

constexpr unsigned kMostCapabilities = 64;

}  // namespace

uint64_t ParseCapabilities(const std::vector<std::string>& names,
                           std::vector<std::string>* unknown) {
  uint64_t set = 0;
  for (const std::string& name : names) {
    size_t number = 0;
    while (number < std::size(kNames) && kNames[number] != name) ++number;
    if (number < std::size(kNames)) {
      set |= uint64_t{1} << number;
    } else if (unknown != nullptr) {
      unknown->push_back(name);
    }
  }
  return set;
}

base::Result<void> DropBoundingSet(const CapabilitySets& sets) {
  for (unsigned number = 0; number < kMostCapabilities; ++number) {
    if ((sets.bounding >> number & 1) != 0) continue;
    // The kernel answers EINVAL for the first number that it does not have, also in reading.
    if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) < 0) break;
    if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0) {
      return base::ErrnoError("drop capability {} from the bounding set", number);
    }
  }
  return base::Ok();
}

base::Result<void> ApplyCapabilities(const CapabilitySets& sets) {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct data[2]{};
  for (unsigned half = 0; half < 2; ++half) {
    const unsigned shift = 32 * half;
    data[half].effective = static_cast<uint32_t>(sets.effective >> shift);
    data[half].permitted = static_cast<uint32_t>(sets.permitted >> shift);
    data[half].inheritable = static_cast<uint32_t>(sets.inheritable >> shift);
  }
  if (syscall(SYS_capset, &header, data) != 0) {
    return base::ErrnoError("capset effective {:#x} permitted {:#x} inheritable {:#x}",
                            sets.effective, sets.permitted, sets.inheritable);
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return base::ErrnoError("clear the ambient set");
  }
  for (unsigned number = 0; number < std::size(kNames); ++number) {
    if ((sets.ambient >> number & 1) == 0) continue;
    // Must be permitted and inheritable; the kernel says EPERM otherwise.
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) {
      return base::ErrnoError("raise ambient {}", kNames[number]);
    }
  }
  return base::Ok();
}

}  // namespace agent
