#include "oci/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "oci/clause.h"
#include "runtime/base/log.h"

namespace oci {
namespace {

// setrlimit(2); config.md "Process" refers to getrlimit(2).
constexpr std::array<std::string_view, 16> kRlimits = {
    "RLIMIT_AS",     "RLIMIT_CORE",   "RLIMIT_CPU",        "RLIMIT_DATA",
    "RLIMIT_FSIZE",  "RLIMIT_LOCKS",  "RLIMIT_MEMLOCK",    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",   "RLIMIT_NOFILE", "RLIMIT_NPROC",      "RLIMIT_RSS",
    "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"};

base::Result<void> ValidateRlimits(const std::vector<Rlimit>& rlimits, const std::string& prefix) {
  std::set<std::string_view> seen;
  for (size_t i = 0; i < rlimits.size(); ++i) {
    const Rlimit& rlimit = rlimits[i];
    const std::string path = fmt::format("{}rlimits[{}]", prefix, i);
    if (std::find(kRlimits.begin(), kRlimits.end(), rlimit.type) == kRlimits.end()) {
      return RuleError(path + ".type", rlimit.type, "no resource limit of Linux");
    }
    if (!seen.insert(rlimit.type).second) {
      return RuleError(path + ".type", rlimit.type, "given twice");
    }
    if (rlimit.soft > rlimit.hard) {
      return RuleError(path + ".soft", std::to_string(rlimit.soft),
                       fmt::format("above the hard limit {}", rlimit.hard));
    }
  }
  return base::Ok();
}

base::Result<void> ValidateHooks(const std::vector<Hook>& hooks, const char* name) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    const std::string path = fmt::format("hooks.{}[{}]", name, i);
    TRY(RequireAbsolute(path + ".path", hooks[i].path));
    if (hooks[i].timeout_seconds && *hooks[i].timeout_seconds <= 0) {
      return RuleError(path + ".timeout", std::to_string(*hooks[i].timeout_seconds),
                       "must be greater than zero");
    }
  }
  return base::Ok();
}

base::Result<void> ValidateMounts(const std::vector<Mount>& mounts) {
  for (size_t i = 0; i < mounts.size(); ++i) {
    const std::string path = fmt::format("mounts[{}]", i);
    // A relative destination is legal and means relative to "/".
    if (mounts[i].destination.empty()) return RuleError(path + ".destination", "", "missing");
    if (mounts[i].uid_mappings.empty() != mounts[i].gid_mappings.empty()) {
      return RuleError(path, mounts[i].destination,
                       "uidMappings and gidMappings must be given together");
    }
  }
  return base::Ok();
}

}  // namespace

base::Error RuleError(const std::string& path, std::string_view value, std::string_view rule) {
  // An exec's document starts below `process`: its paths mean nothing at the top.
  const bool known = ClauseOfPath(path) != ClauseOfPath("");
  const std::string_view clause = known ? ClauseOfPath(path) : ClauseOfProcessPath(path);
  return base::MakeError(base::Code::kInvalidArgument, "{}: \"{}\": {} ({})", path,
                         base::Escaped(value, 256), rule, clause);
}

base::Result<void> RequireAbsolute(const std::string& path, std::string_view value) {
  if (value.starts_with('/')) return base::Ok();
  return RuleError(path, value, "must be an absolute path");
}

base::Result<void> ValidateProcess(const Process& process, const std::string& prefix) {
  TRY(RequireAbsolute(prefix + "cwd", process.cwd));
  if (process.args.empty()) return RuleError(prefix + "args", "", "must have at least one entry");
  TRY(ValidateRlimits(process.rlimits, prefix));
  // proc(5), "/proc/pid/oom_score_adj"
  if (process.oom_score_adj && (*process.oom_score_adj < -1000 || *process.oom_score_adj > 1000)) {
    return RuleError(prefix + "oomScoreAdj", std::to_string(*process.oom_score_adj),
                     "not within -1000 … 1000");
  }
  if (process.user.umask && *process.user.umask > 0777) {
    return RuleError(prefix + "user.umask", std::to_string(*process.user.umask),
                     "more than the nine permission bits");
  }
  // ioprio_set(2)
  if (process.io_priority &&
      (process.io_priority->priority < 0 || process.io_priority->priority > 7)) {
    return RuleError(prefix + "ioPriority.priority", std::to_string(process.io_priority->priority),
                     "not within 0 … 7");
  }
  return base::Ok();
}

base::Result<void> Validate(const Spec& spec) {
  // SemVer 2.0; any 1.x describes what a 1.2 runtime understands.
  if (!spec.oci_version.starts_with("1.")) {
    return RuleError("ociVersion", spec.oci_version, "not a version 1.x");
  }
  if (!spec.root) return RuleError("root", "", "missing, but required on Linux");
  if (spec.root->path.empty()) return RuleError("root.path", "", "missing");
  if (!spec.process) return RuleError("process", "", "missing, but required by start");
  TRY(ValidateProcess(*spec.process, "process."));
  TRY(ValidateMounts(spec.mounts));
  TRY(ValidateHooks(spec.hooks.prestart, "prestart"));
  TRY(ValidateHooks(spec.hooks.create_runtime, "createRuntime"));
  TRY(ValidateHooks(spec.hooks.create_container, "createContainer"));
  TRY(ValidateHooks(spec.hooks.start_container, "startContainer"));
  TRY(ValidateHooks(spec.hooks.poststart, "poststart"));
  TRY(ValidateHooks(spec.hooks.poststop, "poststop"));
  if (spec.annotations.contains("")) return RuleError("annotations", "", "a key must not be empty");
  TRY(ValidateLinux(spec.linux_config));
  return base::Ok();
}

}  // namespace oci
