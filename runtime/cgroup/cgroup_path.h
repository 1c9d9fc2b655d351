// linux.cgroupsPath → a path below the root of a hierarchy. Thread rule: reentrant.
#pragma once

#include <optional>
#include <string>

#include "runtime/base/result.h"

namespace cgroup {

// "/a/b" or "a/b" → "/a/b"; "a-b.slice:prefix:name" → "/a.slice/a-b.slice/prefix-name.scope", where
// systemd would put that scope (systemd.slice(5)); empty → "/pinion/`pod_id`" (OCI
// runtime-spec 1.2, config-linux.md "Cgroups Path" leaves the default to the runtime).
// kInvalidArgument for ".." components, for the root itself, for overlong names.
base::Result<std::string> ResolvePath(const std::string& cgroups_path, const std::string& pod_id);

// What a pod's record keeps of a path, for PodCgroup::RemoveAt: a scope of systemd's in that form,
// because the scope goes too; every other path as ResolvePath has it. The same errors.
base::Result<std::string> PathOnRecord(const std::string& cgroups_path, const std::string& pod_id);

// What systemd calls the cgroup of a path in its form.
struct ScopeUnit {
  std::string slice;  // "a-b.slice"
  std::string name;   // "prefix-name.scope"
};
// nullopt for every other form, and for what ResolvePath refuses.
std::optional<ScopeUnit> SystemdScopeOf(const std::string& cgroups_path);

}  // namespace cgroup
