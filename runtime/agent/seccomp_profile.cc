#include "runtime/agent/seccomp_profile.h"

#include <linux/seccomp.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "runtime/base/seccomp_filter.h"

namespace agent {
namespace {

struct FlagName {
  std::string_view name;
  unsigned int value;
};

constexpr FlagName kFlags[] = {
    // The init has one thread, so all threads are covered in any case.
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
};

base::Result<base::SeccompAction> Action(const std::string& name,
                                         const std::optional<uint32_t>& errno_ret) {
  const base::SeccompAction action =
      TRY(base::SeccompActionByOciName(name, static_cast<uint16_t>(errno_ret.value_or(EPERM))));
  if (action.kind == base::SeccompAction::Kind::kNotify) {
    return base::MakeError(base::Code::kUnimplemented, "seccomp action {}", name);
  }
  return action;
}

base::Result<std::vector<base::SeccompCondition>> Conditions(const oci::SeccompRule& rule) {
  std::vector<base::SeccompCondition> conditions;
  for (const oci::SeccompArgument& argument : rule.args) {
    base::SeccompCondition condition;
    condition.argument = argument.index;
    condition.op = TRY(base::SeccompOpByOciName(argument.op));
    condition.value = argument.value;
    if (condition.op == base::SeccompCondition::Op::kMaskedEqual) {
      condition.mask = argument.value;
      condition.value = argument.value_two;
    }
    conditions.push_back(condition);
  }
  return conditions;
}

// Two conditions on one argument cannot be one libseccomp rule; runc makes such a list
// alternatives.
bool ArgumentTwice(const std::vector<base::SeccompCondition>& conditions) {
  unsigned int seen = 0;
  for (const base::SeccompCondition& condition : conditions) {
    const unsigned int bit = 1U << (condition.argument % 32);
    if ((seen & bit) != 0) return true;
    seen |= bit;
  }
  return false;
}

base::Result<void> AddRule(base::SeccompFilter& filter, const oci::SeccompRule& rule) {
  const base::SeccompAction action = TRY(Action(rule.action, rule.errno_ret));
  const std::vector<base::SeccompCondition> conditions = TRY(Conditions(rule));
  const bool alternatives = ArgumentTwice(conditions);
  for (const std::string& name : rule.names) {
    const size_t rules = alternatives ? conditions.size() : 1;
    for (size_t i = 0; i < rules; ++i) {
      std::span<const base::SeccompCondition> part(conditions);
      if (alternatives) part = part.subspan(i, 1);
      base::Result<void> added = filter.Add(action, name, part);
      if (!added && added.error().code() == base::Code::kNotFound) continue;
      TRY(std::move(added), "system call {}", name);
    }
  }
  return base::Ok();
}

}  // namespace

base::Result<SeccompProgram> CompileSeccomp(const oci::Seccomp& profile) {
  if (!profile.listener_path.empty()) {
    return base::MakeError(base::Code::kUnimplemented, "seccomp listenerPath \"{}\"",
                           profile.listener_path);
  }
  const base::SeccompAction default_action =
      TRY(Action(profile.default_action, profile.default_errno_ret), "seccomp defaultAction");
  base::SeccompFilter filter = TRY(base::SeccompFilter::Create(default_action));
  for (const std::string& name : profile.architectures) {
    TRY(filter.AddArchitecture(name), "seccomp architecture {}", name);
  }
  for (const oci::SeccompRule& rule : profile.syscalls) TRY(AddRule(filter, rule), "seccomp");
  SeccompProgram program;
  for (const std::string& name : profile.flags) {
    const FlagName* found = nullptr;
    for (const FlagName& row : kFlags) {
      if (row.name == name) found = &row;
    }
    if (found == nullptr) {
      return base::MakeError(base::Code::kUnimplemented, "seccomp flag {}", name);
    }
    program.flags |= found->value;
  }
  // A profile that lets unknown calls pass has nothing against those of the future.
  const bool lenient = default_action.kind == base::SeccompAction::Kind::kAllow ||
                       default_action.kind == base::SeccompAction::Kind::kLog ||
                       default_action.kind == base::SeccompAction::Kind::kTrace;
  program.instructions = TRY(lenient ? filter.Export() : filter.ExportWithEnosys(), "seccomp");
  return program;
}

}  // namespace agent
