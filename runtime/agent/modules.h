// Kernel modules of the initrd. Thread rule: reentrant.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/result.h"

namespace agent {

// Loads the files named in `directory`/order, one a line, in that order. A module that is there
// already is fine; no `order` file means that there is nothing to load. Returns one message for
// each module that could not be loaded: the others may still do.
std::vector<std::string> LoadModules(const std::string& directory);

// The same, and deletes the files, whatever came of them: they take memory, and the next call finds
// nothing to do.
std::vector<std::string> LoadModulesOnce(const std::string& directory);

// Deletes `directory`/order and the files that it names.
void RemoveModules(const std::string& directory);

// Copies `directory`/order and the files that it names to `target`, which is made. No `order` file:
// nothing to copy.
base::Result<void> CopyModules(const std::string& directory, const std::string& target);

// The names in an order file: blank lines and lines from '#' on are skipped, a name with '/' is
// refused.
base::Result<std::vector<std::string>> ParseModuleOrder(const std::string& text);

}  // namespace agent
