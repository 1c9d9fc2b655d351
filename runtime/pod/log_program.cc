#include "runtime/pod/log_program.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "runtime/base/log.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;

// The program's descriptors, by the contract.
constexpr int kOutFd = 3;
constexpr int kErrFd = 4;
constexpr int kReadyFd = 5;
constexpr std::chrono::seconds kReadyLimit{60};
constexpr std::chrono::seconds kOwnEndLimit{2};
constexpr std::chrono::seconds kTermLimit{12};

struct Pipe {
  base::UniqueFd read;
  base::UniqueFd write;
};

base::Result<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return base::ErrnoError("pipe");
  return Pipe{base::UniqueFd(fds[0]), base::UniqueFd(fds[1])};
}

base::Result<void> SetNonBlocking(base::BorrowedFd fd) {
  if (fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return base::ErrnoError("F_SETFL");
  return base::Ok();
}

}  // namespace

base::Result<std::unique_ptr<LogProgram>> LogProgram::Start(
    base::EventLoop& loop, const Options& options,
    std::function<void(base::Result<void>)> on_ready) {
  Pipe out = TRY(MakePipe());
  Pipe err = TRY(MakePipe());
  Pipe ready = TRY(MakePipe());
  // Ours alone: the other ends are the program's to choose.
  TRY(SetNonBlocking(out.write));
  TRY(SetNonBlocking(err.write));
  TRY(SetNonBlocking(ready.read));
  base::SubprocessOptions spawn;
  spawn.program = options.program;
  spawn.argv = {options.program};
  spawn.argv.insert(spawn.argv.end(), options.arguments.begin(), options.arguments.end());
  spawn.env = {"CONTAINER_ID=" + options.id, "CONTAINER_NAMESPACE=" + options.ns};
  spawn.fds = {{out.read, kOutFd}, {err.read, kErrFd}, {ready.write, kReadyFd}};
  std::unique_ptr<LogProgram> program(new LogProgram(loop));
  LogProgram* const raw = program.get();
  program->process_ = TRY(base::Subprocess::Spawn(spawn), "logging program");
  program->out_ = std::move(out.write);
  program->err_ = std::move(err.write);
  program->ready_ = std::move(ready.read);
  program->on_ready_ = std::move(on_ready);
  program->ready_watch_ =
      TRY(loop.WatchFd(program->ready_, EPOLLIN, [raw](uint32_t) { raw->OnReady(); }));
  program->exit_watch_ =
      TRY(loop.WatchFd(program->process_.pidfd(), EPOLLIN, [raw](uint32_t) { raw->OnExit(); }));
  program->timer_ = loop.After(kReadyLimit, [raw] {
    raw->Report(MakeError(Code::kDeadlineExceeded, "the logging program was not ready within {} s",
                          kReadyLimit.count()));
  });
  return program;
}

LogProgram::~LogProgram() {
  if (!process_.valid()) return;
  static_cast<void>(process_.Signal(SIGKILL));
  static_cast<void>(process_.Wait());
}

// A byte or the end of file: both mean that it reads. If it has ended instead, OnExit says so.
void LogProgram::OnReady() {
  char byte;
  const ssize_t size = read(ready_.get(), &byte, 1);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  ready_watch_.Cancel();
  Report(base::Ok());
}

void LogProgram::Report(base::Result<void> result) {
  timer_.Cancel();
  if (const auto report = std::exchange(on_ready_, nullptr)) report(std::move(result));
}

void LogProgram::OnExit() {
  const base::Result<std::optional<int>> status = process_.TryWait();
  if (status && !*status) return;
  exit_watch_.Cancel();
  ready_watch_.Cancel();
  timer_.Cancel();
  const int code = status ? base::ExitCode(**status) : -1;
  process_ = {};
  if (code != 0) LOG_WARNING("the logging program ended with status {}", code);
  if (const auto end = std::exchange(on_end_, nullptr)) return end();
  Report(MakeError(Code::kFailedPrecondition,
                   "the logging program ended with status {} before it was ready", code));
}

void LogProgram::End(std::function<void()> done) {
  if (!process_.valid()) {
    timer_ = loop_.After(std::chrono::nanoseconds(0), std::move(done));
    return;
  }
  on_end_ = std::move(done);
  out_.Reset();
  err_.Reset();
  timer_ = loop_.After(kOwnEndLimit, [this] {
    static_cast<void>(process_.Signal(SIGTERM));
    timer_ = loop_.After(kTermLimit, [this] { static_cast<void>(process_.Signal(SIGKILL)); });
  });
}

}  // namespace pod
