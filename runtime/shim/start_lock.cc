#include "runtime/shim/start_lock.h"

#include <fcntl.h>

#include <functional>

#include "runtime/base/file.h"

namespace shim {
namespace {

constexpr char kDirectory[] = "/run/pinion";
constexpr char kLockFile[] = "/run/pinion/start.lock";

}  // namespace

base::Result<base::UniqueFd> LockPod(const Flags& flags, const std::string& key) {
  TRY(base::MakeDirectories(kDirectory, 0711));
  base::UniqueFd file = TRY(base::Open(kLockFile, O_RDWR | O_CREAT, 0600));
  const std::string pod = flags.address + "/" + flags.ns + "/" + key;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(std::hash<std::string>()(pod) >> 2);
  lock.l_len = 1;
  // Bound to the open file, so it ends with this process and is not inherited by the daemon.
  if (TEMP_FAILURE_RETRY(fcntl(file.get(), F_OFD_SETLKW, &lock)) != 0) {
    return base::ErrnoError("lock {}", kLockFile);
  }
  return file;
}

}  // namespace shim
