#include "runtime/network/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <thread>

#include "runtime/base/file.h"

namespace network {
namespace {

// /proc/self is the process: its first thread, which may be elsewhere.
constexpr const char* kOwn = "/proc/thread-self/ns/net";

}  // namespace

base::Result<base::UniqueFd> OpenNamespace(const std::string& path) {
  base::UniqueFd ns = TRY(base::Open(path, O_RDONLY | O_NONBLOCK), "network namespace");
  const int type = ioctl(ns.get(), NS_GET_NSTYPE);
  if (type != CLONE_NEWNET) {
    return base::MakeError(base::Code::kInvalidArgument, "{}: not a network namespace", path);
  }
  return ns;
}

base::Result<base::UniqueFd> OwnNamespace() { return OpenNamespace(kOwn); }

base::Result<base::UniqueFd> MakeNamespace() {
  base::Result<base::UniqueFd> made = base::UniqueFd();
  std::thread([&made] {
    if (unshare(CLONE_NEWNET) != 0) {
      made = base::ErrnoError("make a network namespace");
    } else {
      made = OpenNamespace(kOwn);
    }
  }).join();
  return made;
}

base::Result<ino_t> IdentityOf(base::BorrowedFd ns) {
  struct stat status;
  if (fstat(ns.get(), &status) != 0) return base::ErrnoError("fstat of a network namespace");
  return status.st_ino;
}

base::Result<void> RunIn(base::BorrowedFd ns, const std::function<base::Result<void>()>& work) {
  base::Result<void> result = base::Ok();
  std::thread([&result, &work, ns] {
    if (setns(ns.get(), CLONE_NEWNET) != 0) {
      result = base::ErrnoError("enter the network namespace");
    } else {
      result = work();
    }
  }).join();
  return result;
}

}  // namespace network
