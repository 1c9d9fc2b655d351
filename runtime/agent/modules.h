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

// The names in an order file: blank lines and lines from '#' on are skipped, a name with '/' is
// refused.
base::Result<std::vector<std::string>> ParseModuleOrder(const std::string& text);

}  // namespace agent
