#include "runtime/shim/bundle_log.h"

#include <fcntl.h>

#include "runtime/base/log.h"

namespace shim {

void OpenBundleLog(bool debug) {
  // O_RDWR: nobody may read it yet, or its reader may go with a containerd that restarts;
  // O_NONBLOCK: a full pipe drops lines.
  const int fd = open("log", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;  // started by hand
  base::InitLog(base::BorrowedFd(fd), debug ? base::LogLevel::kDebug : base::LogLevel::kInfo);
}

}  // namespace shim
