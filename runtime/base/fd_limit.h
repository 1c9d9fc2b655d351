// The limit on open descriptors (RLIMIT_NOFILE) of a program that holds many: systemd starts
// services with a soft limit of 1024, for the sake of select(2), and a higher hard one.
//
// Thread rule: RaiseFdLimit once, before other threads exist; the rest reentrant.
#pragma once

#include <sys/resource.h>

#include "runtime/base/result.h"

namespace base {

// The soft limit becomes the hard one. Children that Subprocess makes get what was before.
Result<void> RaiseFdLimit();

// What a child is to get; nullptr if it was never raised.
const rlimit* FdLimitOfChildren();

}  // namespace base
