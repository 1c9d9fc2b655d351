// pinionctl's commands, as functions from arguments to text. Thread rule: reentrant.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/result.h"

namespace ctl {

using Arguments = std::vector<std::string>;  // without the program's name

// What goes to stdout. An error's message goes to stderr, with exit status 1.
base::Result<std::string> Run(const Arguments& arguments);

// `pinionctl cpu plan|picture …`, after "cpu".
base::Result<std::string> RunCpu(const Arguments& arguments);

// `pinionctl pod list|show …`, after "pod".
base::Result<std::string> RunPod(const Arguments& arguments);

}  // namespace ctl
