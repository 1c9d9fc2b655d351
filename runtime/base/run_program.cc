#include "runtime/base/run_program.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/file.h"

namespace base {
namespace {

constexpr off_t kShownBytes = 512;

// Files in memory, not pipes: nobody has to read or write beside the program.
Result<UniqueFd> MemoryFile(const char* name) {
  UniqueFd file(memfd_create(name, MFD_CLOEXEC));
  if (!file) return ErrnoError("memfd_create");
  return file;
}

std::string EndOf(BorrowedFd file) {
  const off_t size = lseek(file.get(), 0, SEEK_END);
  std::string text(static_cast<size_t>(std::max<off_t>(std::min(size, kShownBytes), 0)), '\0');
  const ssize_t got = pread(file.get(), text.data(), text.size(),
                            std::max<off_t>(size - static_cast<off_t>(text.size()), 0));
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Whether it has ended by then.
bool WaitFor(BorrowedFd pidfd, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd wait{pidfd.get(), POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

Result<void> RunProgram(SubprocessOptions options, std::string_view input,
                        std::chrono::milliseconds limit) {
  const UniqueFd in = TRY(MemoryFile("input"));
  const UniqueFd errors = TRY(MemoryFile("errors"));
  TRY(WriteAll(in, input));
  if (lseek(in.get(), 0, SEEK_SET) < 0) return ErrnoError("lseek");
  options.fds.push_back({in, STDIN_FILENO});
  options.fds.push_back({errors, STDERR_FILENO});
  Subprocess process = TRY(Subprocess::Spawn(options), "{}", options.program);
  const bool ended = WaitFor(process.pidfd(), limit);
  if (!ended) TRY(process.Signal(SIGKILL));
  const int status = TRY(process.Wait());
  if (!ended) {
    return MakeError(Code::kDeadlineExceeded, "{}: killed after {} ms", options.program,
                     limit.count());
  }
  if (status == 0) return Ok();
  const std::string said = EndOf(errors);
  return MakeError(Code::kFailedPrecondition, "{}: ended with status {}{}{}", options.program,
                   ExitCode(status), said.empty() ? "" : ": ", said);
}

}  // namespace base
