#include "runtime/base/fd_limit.h"

#include <optional>

namespace base {
namespace {

std::optional<rlimit> before;

}  // namespace

Result<void> RaiseFdLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return ErrnoError("getrlimit(RLIMIT_NOFILE)");
  if (limit.rlim_cur == limit.rlim_max) return Ok();
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
    return ErrnoError("setrlimit(RLIMIT_NOFILE, {})", limit.rlim_max);
  }
  before = limit;
  return Ok();
}

const rlimit* FdLimitOfChildren() { return before ? &*before : nullptr; }

}  // namespace base
