#include "runtime/agent/exec_lookup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

namespace agent {
namespace {

// 0, or the errno that says why `path` cannot be executed.
int WhyNotExecutable(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  // AT_EACCESS: by the effective ids and capabilities, as execve(2) will decide.
  return faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

}  // namespace

base::Result<std::string> FindExecutable(const std::string& name,
                                         const std::string& path_variable) {
  if (name.find('/') != std::string::npos) {
    const int error = WhyNotExecutable(name);
    if (error == 0) return name;
    if (error == ENOENT || error == ENOTDIR) {
      return base::Error(
          base::Code::kNotFound,
          fmt::format("exec: \"{}\": stat {}: no such file or directory", name, name), error);
    }
    return base::Error(base::Code::kPermissionDenied,
                       fmt::format("exec: \"{}\": {}", name,
                                   error == EISDIR ? "is a directory" : "permission denied"),
                       error);
  }
  bool denied = false;
  std::string_view rest = path_variable;
  while (!name.empty() && !rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    // An empty element is the working directory, by POSIX.
    const std::string directory(colon == 0 ? "." : rest.substr(0, colon));
    const std::string candidate = directory + "/" + name;
    const int error = WhyNotExecutable(candidate);
    if (error == 0) return candidate;
    denied = denied || error == EACCES;
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  if (denied) {
    return base::Error(base::Code::kPermissionDenied,
                       fmt::format("exec: \"{}\": permission denied", name), EACCES);
  }
  return base::Error(base::Code::kNotFound,
                     fmt::format("exec: \"{}\": executable file not found in $PATH", name), ENOENT);
}

base::Result<std::vector<std::string>> DistinctEnvironment(const std::vector<std::string>& env) {
  std::vector<std::string> distinct;
  std::set<std::string_view> names;
  for (auto entry = env.rbegin(); entry != env.rend(); ++entry) {
    const size_t equals = entry->find('=');
    if (equals == std::string::npos || equals == 0) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "process.env \"{}\": it is no NAME=value", *entry);
    }
    if (!names.insert(std::string_view(*entry).substr(0, equals)).second) continue;
    if (*entry != "HOME=") distinct.push_back(*entry);
  }
  std::reverse(distinct.begin(), distinct.end());
  return distinct;
}

std::string EnvironmentValue(const std::vector<std::string>& env, const std::string& name) {
  for (auto entry = env.rbegin(); entry != env.rend(); ++entry) {
    if (entry->starts_with(name) && entry->size() > name.size() && (*entry)[name.size()] == '=') {
      return entry->substr(name.size() + 1);
    }
  }
  return {};
}

}  // namespace agent
