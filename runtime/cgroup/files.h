// Directories and files of a cgroup hierarchy; internal to cgroup. Thread rule: reentrant.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

#include "runtime/base/result.h"

namespace cgroup {

bool Exists(const std::string& path);

// Makes `root` + each prefix of `path` that is not there; `prepare` is called for every level below
// the root, existing or not, with its directory and its parent's, before the next one is made.
using PrepareLevel =
    std::function<base::Result<void>(const std::string& directory, const std::string& parent)>;
base::Result<void> MakeGroup(const std::string& root, const std::string& path,
                             const PrepareLevel& prepare);

// Removes the parents of `root` + `path` that MakeGroup made and that are empty now, upwards; stops
// at the first that is neither.
void RemoveEmptyParents(const std::string& root, std::string path);

// Has processes of its own (or, at the root of a threaded domain, below).
base::Result<bool> IsPopulated(const std::string& directory);

// cgroup.procs or cgroup.threads (`file`), or v1's tasks. A process that has ended is not an error:
// there is nothing left to place.
base::Result<void> WritePid(const std::string& directory, std::string_view file, pid_t pid);

// SIGKILL to every process of `directory`; never to this one.
void KillMembers(const std::string& directory);

// rmdir, again while its members are dying, a second at most. Not there: success.
base::Result<void> RemoveGroup(const std::string& directory);

}  // namespace cgroup
