#include "runtime/agent/process_identity.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <sstream>
#include <string_view>

#include "runtime/agent/capabilities.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

struct LimitName {
  std::string_view name;
  __rlimit_resource resource;
};

constexpr LimitName kLimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

base::Result<void> SetLimit(pid_t pid, const oci::Rlimit& limit) {
  for (const LimitName& row : kLimits) {
    if (row.name != limit.type) continue;
    const rlimit value{limit.soft, limit.hard};
    if (prlimit(pid, row.resource, &value, nullptr) != 0) {
      return base::ErrnoError("set {} to soft {}, hard {}", limit.type, limit.soft, limit.hard);
    }
    return base::Ok();
  }
  return base::MakeError(base::Code::kInvalidArgument, "rlimit \"{}\": there is none of that name",
                         limit.type);
}

base::Result<void> SetUser(const oci::User& user) {
  std::vector<gid_t> groups(user.additional_gids.begin(), user.additional_gids.end());
  if (setgroups(groups.size(), groups.data()) != 0) {
    return base::ErrnoError("setgroups ({} groups)", groups.size());
  }
  if (setresgid(user.gid, user.gid, user.gid) != 0) return base::ErrnoError("setgid {}", user.gid);
  if (setresuid(user.uid, user.uid, user.uid) != 0) return base::ErrnoError("setuid {}", user.uid);
  return base::Ok();
}

base::Result<void> CheckWorkingDirectory(const std::string& cwd) {
  // A cwd that leads through a leaked descriptor of the agent would lie outside of the root; the
  // kernel then gives a path that does not begin with "/" (runc CVE-2024-21626).
  char where[PATH_MAX];
  if (getcwd(where, sizeof where) == nullptr || where[0] != '/') {
    return base::MakeError(base::Code::kPermissionDenied,
                           "cwd \"{}\" lies outside of the container's root", cwd);
  }
  return base::Ok();
}

CapabilitySets SetsOf(const oci::Process& process) {
  CapabilitySets sets;
  // Absent: no capabilities at all, as runc does for a process without the property.
  if (!process.capabilities) return sets;
  sets.bounding = ParseCapabilities(process.capabilities->bounding);
  sets.effective = ParseCapabilities(process.capabilities->effective);
  sets.inheritable = ParseCapabilities(process.capabilities->inheritable);
  sets.permitted = ParseCapabilities(process.capabilities->permitted);
  sets.ambient = ParseCapabilities(process.capabilities->ambient);
  return sets;
}

}  // namespace

base::Result<void> SetResourceLimits(pid_t pid, const std::vector<oci::Rlimit>& limits) {
  for (const oci::Rlimit& limit : limits) TRY(SetLimit(pid, limit));
  return base::Ok();
}

std::string HomeDirectory(uid_t uid, const std::string& passwd_text) {
  std::istringstream lines(passwd_text);
  for (std::string line; std::getline(lines, line);) {
    // name:password:uid:gid:gecos:home:shell
    std::istringstream fields(line);
    std::string field[6];
    for (std::string& text : field) std::getline(fields, text, ':');
    if (field[2] == std::to_string(uid) && field[5].starts_with('/')) return field[5];
  }
  return "/";
}

void MakeWorkingDirectory(const std::string& cwd) {
  // Failing shows in the chdir that follows, with the better message.
  static_cast<void>(base::MakeDirectories(cwd));
}

base::Result<void> BecomeRootOfUserNamespace() {
  TRY(SetUser({}), "root of the user namespace");
  return base::Ok();
}

base::Result<void> BecomeUser(const oci::Process& process) {
  const CapabilitySets sets = SetsOf(process);
  // As runc: a directory may be one that the set-up can enter and the user cannot (WORKDIR /root
  // and another user), or the other way round (a volume of the user's that root is a stranger to).
  const bool entered = chdir(process.cwd.c_str()) == 0;
  if (!entered && errno != EACCES && errno != EPERM) {
    return base::ErrnoError("chdir to cwd \"{}\"", process.cwd);
  }
  TRY(DropBoundingSet(sets), "capabilities");
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return base::ErrnoError("keep capabilities");
  TRY(SetUser(process.user), "user {}:{}", process.user.uid, process.user.gid);
  if (!entered && chdir(process.cwd.c_str()) != 0) {
    return base::ErrnoError("chdir to cwd \"{}\"", process.cwd);
  }
  TRY(CheckWorkingDirectory(process.cwd));
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return base::ErrnoError("keep capabilities");
  return ApplyCapabilities(sets);
}

}  // namespace agent
