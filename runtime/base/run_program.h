// Runs a program to its end: OCI hooks and the like, short-lived and not ours.
//
// Thread rule: reentrant, blocks.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/base/subprocess.h"

namespace base {

// `input` becomes its standard input. kFailedPrecondition, with the end of what it wrote to its
// standard error, if it does not end with 0; kDeadlineExceeded, the program having been killed,
// after `limit`. `options.fds` must not name 0 or 2.
Result<void> RunProgram(SubprocessOptions options, std::string_view input,
                        std::chrono::milliseconds limit);

}  // namespace base
