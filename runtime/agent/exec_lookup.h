// Which file a process' args[0] names, looked up in the container as execvp(3) would, but early, so
// that Create can fail. Thread rule: reentrant; looks at the caller's root, cwd and credentials.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/result.h"

namespace agent {

// kNotFound or kPermissionDenied, worded as runc does: clients match "executable file not found in
// $PATH" and "no such file or directory".
base::Result<std::string> FindExecutable(const std::string& name, const std::string& path_variable);

// `env` with each name once, by its last value, in the order of these: an image's ENV and a pod's
// env come as one list, and most C libraries find the first. An empty HOME is none, as for runc.
// kInvalidArgument for what is no "NAME=value".
base::Result<std::vector<std::string>> DistinctEnvironment(const std::vector<std::string>& env);

// The value of `name` in "NAME=value" strings, the last one; empty if there is none.
std::string EnvironmentValue(const std::vector<std::string>& env, const std::string& name);

}  // namespace agent
