#include "runtime/agent/namespaces.h"

#include <sched.h>

#include <set>
#include <string>
#include <string_view>

namespace agent {
namespace {

constexpr std::string_view kOwnPidNamespace = "/proc/1/ns/pid";
constexpr uint64_t kNewTime = 0x80;  // CLONE_NEWTIME, which glibc's sched.h does not name

struct NamespaceType {
  std::string_view name;
  uint64_t flag;
  bool may_be_the_pods;  // with a path
};

constexpr NamespaceType kTypes[] = {
    {"pid", CLONE_NEWPID, true},
    {"network", CLONE_NEWNET, true},
    {"mount", CLONE_NEWNS, false},
    {"ipc", CLONE_NEWIPC, true},
    {"uts", CLONE_NEWUTS, true},
    {"user", CLONE_NEWUSER, false},
    // Every container has one, which its init makes.
    {"cgroup", 0, true},
    {"time", kNewTime, false},
};

}  // namespace

base::Result<NamespacePlan> PlanNamespaces(const std::vector<oci::Namespace>& namespaces) {
  NamespacePlan plan;
  plan.clone_flags = CLONE_NEWNS;
  std::set<std::string> seen;
  for (const oci::Namespace& wanted : namespaces) {
    const NamespaceType* type = nullptr;
    for (const NamespaceType& row : kTypes) {
      if (row.name == wanted.type) type = &row;
    }
    if (type == nullptr) {
      return base::MakeError(base::Code::kInvalidArgument, "namespace type \"{}\" is not known",
                             wanted.type);
    }
    if (!seen.insert(wanted.type).second) {
      return base::MakeError(base::Code::kInvalidArgument, "namespace \"{}\" is listed twice",
                             wanted.type);
    }
    if (type->flag == CLONE_NEWUTS) plan.owns_hostname = true;
    if (!wanted.path.empty()) {
      if (type->flag == CLONE_NEWPID && wanted.path != kOwnPidNamespace) {
        plan.pid_namespace = wanted.path;
      }
      if (type->may_be_the_pods) continue;
      return base::MakeError(base::Code::kUnimplemented, "{} namespace of path \"{}\"", wanted.type,
                             wanted.path);
    }
    if (type->flag == kNewTime) {
      return base::MakeError(base::Code::kUnimplemented, "{} namespace", wanted.type);
    }
    plan.clone_flags |= type->flag;
  }
  return plan;
}

}  // namespace agent
