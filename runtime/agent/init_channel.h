// What the agent and a container's init tell each other before execve, over a SOCK_SEQPACKET pair.
// The init is the agent's own code until then, yet it is read with fixed limits.
// Thread rule: reentrant.
#pragma once

#include <optional>
#include <string>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// Agent to init.
enum class InitOrder : char { kSetUp = 'u', kExecute = 'x' };

base::Result<void> SendOrder(base::BorrowedFd channel, InitOrder order);
// Blocks. Uses read(2) alone: a seccomp profile may be in force. An end of file is an error.
base::Result<void> AwaitOrder(base::BorrowedFd channel, InitOrder order);

// Init to agent: ready for execve, with the master if it has a terminal; or an error. After a
// successful execve the agent sees the end of file.
struct InitReport {
  bool ready = false;
  base::UniqueFd terminal;
  std::optional<base::Error> error;
};

// Without a terminal by write(2) alone.
base::Result<void> SendReady(base::BorrowedFd channel, base::BorrowedFd terminal);
// Cut at 4 KiB; never fails, there is nobody left to tell. Uses write(2) alone.
void SendFailure(base::BorrowedFd channel, const base::Error& error);
// nullopt: end of file. An error with error_number() EAGAIN if there is nothing yet.
base::Result<std::optional<InitReport>> ReceiveReport(base::BorrowedFd channel);

}  // namespace agent
