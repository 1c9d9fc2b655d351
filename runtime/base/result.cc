#include "runtime/base/result.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace base {

Code CodeFromErrno(int error) {
  switch (error) {
    case ENOENT:
    case ESRCH:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EACCES:
    case EPERM:
      return Code::kPermissionDenied;
    case EINVAL:
    case ENAMETOOLONG:
      return Code::kInvalidArgument;
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EDQUOT:
      return Code::kResourceExhausted;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnimplemented;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
      return Code::kUnavailable;
    default:
      return Code::kUnknown;
  }
}

Error::Error(Code code, std::string message, int error_number, const char* file, int line)
    : state_(std::make_unique<State>(State{code, error_number, {}})) {
  state_->steps.push_back({std::move(message), file, line});
}

void Error::Push(std::string message, const char* file, int line) {
  state_->steps.push_back({std::move(message), file, line});
}

std::string Error::Message() const {
  std::string out;
  for (auto step = state_->steps.rbegin(); step != state_->steps.rend(); ++step) {
    if (step->message.empty()) continue;
    if (!out.empty()) out += ": ";
    out += step->message;
  }
  return out;
}

std::string Error::Trail() const {
  std::string out = Message();
  for (const Step& step : state_->steps) out += fmt::format(" [{}:{}]", step.file, step.line);
  return out;
}

namespace internal {

void CheckFailed(const char* condition, const char* file, int line) {
  dprintf(STDERR_FILENO, "%s:%d: check failed: %s\n", file, line, condition);
  abort();
}

}  // namespace internal
}  // namespace base
