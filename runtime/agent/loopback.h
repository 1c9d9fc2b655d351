// The loopback interface of the caller's network namespace. Thread rule: reentrant.
#pragma once

#include "runtime/base/result.h"

namespace agent {

// Sets `lo` up; the kernel gives it 127.0.0.1 and ::1 by itself.
base::Result<void> BringLoopbackUp();

}  // namespace agent
