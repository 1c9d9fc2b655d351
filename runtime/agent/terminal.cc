#include "runtime/agent/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runtime/agent/mounts.h"
#include "runtime/agent/rooted_path.h"
#include "runtime/base/file.h"

namespace agent {
namespace {

base::Result<void> ShowAsConsole(base::BorrowedFd slave) {
  const base::UniqueFd root = TRY(base::Open("/", O_PATH | O_DIRECTORY));
  const base::UniqueFd target = TRY(OpenOrCreate(root, "/dev/console", PathKind::kFile));
  const base::UniqueFd tree = TRY(CloneTree(slave, false));
  return Attach(tree, target);
}

}  // namespace

base::Result<base::UniqueFd> OpenTerminal(const oci::Process& process, Console console) {
  base::UniqueFd master = TRY(base::Open("/dev/pts/ptmx", O_RDWR | O_NOCTTY));
  const int unlock = 0;
  if (ioctl(master.get(), TIOCSPTLCK, &unlock) != 0) return base::ErrnoError("unlock the terminal");
  // TIOCGPTPEER needs no path, which the container's mounts could divert.
  const base::UniqueFd slave(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return base::ErrnoError("open the terminal");
  if (fchown(slave.get(), process.user.uid, static_cast<gid_t>(-1)) != 0) {
    return base::ErrnoError("chown the terminal to {}", process.user.uid);
  }
  if (process.console_size) {
    TRY(ResizeTerminal(master, process.console_size->width, process.console_size->height));
  }
  if (console == Console::kShow) TRY(ShowAsConsole(slave), "/dev/console");
  if (ioctl(slave.get(), TIOCSCTTY, 0) != 0) return base::ErrnoError("set controlling terminal");
  for (int fd = 0; fd <= 2; ++fd) {
    if (dup2(slave.get(), fd) < 0) return base::ErrnoError("dup2 {}", fd);
  }
  return master;
}

base::Result<void> ResizeTerminal(base::BorrowedFd master, uint32_t columns, uint32_t rows) {
  winsize size{};
  size.ws_col = static_cast<unsigned short>(std::min(columns, 0xffffU));
  size.ws_row = static_cast<unsigned short>(std::min(rows, 0xffffU));
  if (ioctl(master.get(), TIOCSWINSZ, &size) != 0) {
    return base::ErrnoError("resize the terminal to {}x{}", columns, rows);
  }
  return base::Ok();
}

}  // namespace agent
