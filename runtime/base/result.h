// Result<T>: the one way in which a function says that something outside the program failed.
//
// Error is a Code (the values of google.rpc.Code, so that an RPC status is a cast), an errno (0 if
// none) and a trail of messages, innermost first. TRY unwraps a Result or returns its error with
// one more message. Thread rule: values, reentrant. No function here throws or logs.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace base {

// google/rpc/code.proto
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
};

// The Code that best says what errno `error` means to an RPC client.
Code CodeFromErrno(int error);

class Error {
 public:
  Error(Code code, std::string message, int error_number = 0,
        const char* file = __builtin_FILE(), int line = __builtin_LINE());

  Code code() const { return state_->code; }
  int error_number() const { return state_->error_number; }

  // "outermost: …: innermost", what a user sees.
  std::string Message() const;
  // Message with file:line of each step, what a log line carries.
  std::string Trail() const;

  // Adds what the caller was doing.
  void Push(std::string message, const char* file, int line);
  void Push(const char* file, int line) { Push(std::string(), file, line); }
  template <class... Args>
  void Push(const char* file, int line, fmt::format_string<Args...> format, Args&&... args) {
    Push(fmt::format(format, std::forward<Args>(args)...), file, line);
  }
  // Keeps the trail, replaces the code.
  Error&& WithCode(Code code) && {
    state_->code = code;
    return std::move(*this);
  }

 private:
  struct Step {
    std::string message;
    const char* file;
    int line;
  };
  struct State {
    Code code;
    int error_number;
    std::vector<Step> steps;
  };
  std::unique_ptr<State> state_;
};

// A subclass only to be [[nodiscard]], which tl::expected is not.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result(Error error) : tl::expected<T, Error>(tl::unexpected<Error>(std::move(error))) {}
};

// Result<void>: return Ok() on success.
inline Result<void> Ok() { return {}; }

// Error made of a format string: MakeError(Code::kInvalidArgument, "cpus {}: not online", cpu).
template <class... Args>
Error MakeError(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Reads errno first: ErrnoError("open {}", path) gives "open /x: No such file or directory".
template <class... Args>
Error ErrnoError(fmt::format_string<Args...> format, Args&&... args) {
  const int error = errno;
  Error made(CodeFromErrno(error), fmt::format(fmt::runtime("{}: {}"),
                                               fmt::format(format, std::forward<Args>(args)...),
                                               strerrordesc_np(error) ? strerrordesc_np(error) : "?"),
             error);
  return made;
}

}  // namespace base

// TRY(expr) or TRY(expr, "while doing {}", x): the value of a Result, or return its error.
#define TRY(expression, ...)                                                    \
  __extension__({                                                               \
    auto try_result_ = (expression);                                            \
    if (!try_result_) {                                                         \
      try_result_.error().Push(__FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__);  \
      return ::base::Error(std::move(try_result_.error()));                     \
    }                                                                           \
    ::base::internal::Unwrap(std::move(try_result_));                           \
  })

namespace base::internal {
template <class T>
T Unwrap(Result<T>&& result) {
  return std::move(*result);
}
inline void Unwrap(Result<void>&&) {}
}  // namespace base::internal

// For our own bugs only; nothing that a guest, an image, a spec or a client can reach.
#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) ::base::internal::CheckFailed(#condition, __FILE__, __LINE__); \
  } while (false)

namespace base::internal {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}  // namespace base::internal
