// The words that every guest of this machine gets before the caller's. Thread rule: reentrant.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/result.h"

namespace vmm {

// Default words (each with its reason in command_line.cc), the serial port's, then `caller`'s: of
// most parameters Linux takes the last. kInvalidArgument if it is too long or has a NUL.
base::Result<std::string> BuildCommandLine(bool serial_console, std::string_view caller);

}  // namespace vmm
