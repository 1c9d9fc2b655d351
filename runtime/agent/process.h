// Process: one process of a container, its init or an exec, from clone to its reaping: the channel
// to its set-up code, its streams, its terminal, its exit.
//
// Thread rule: bound to the event loop. Callbacks are called once, now or later, and must not
// destroy the process: post that to the loop. Ownership: destroying a Process closes its streams
// and forgets the child, which somebody else must have ended.
//
//   Launch ──► creating ──report──► created ──Start──► running ──exit──► stopped
//                 │                    └─────────────── killed ───────────┘
//                 └──failure, reaped──► on_ready(error)
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "oci/spec.h"
#include "runtime/agent/environment.h"
#include "runtime/agent/init_channel.h"
#include "runtime/agent/relay.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/base/user_namespace.h"

namespace agent {

class Process {
 public:
  using DoneCallback = std::function<void(base::Result<void>)>;

  struct Options {
    ProcessId id;
    bool terminal = false;
    bool open_stdin = false;
    bool open_stdout = false;
    bool open_stderr = false;
    // Of its pipes, in the agent's user namespace: so that the process can open /dev/stdout again.
    uid_t stdio_owner = 0;
    // In force from its set-up on, as under runc.
    std::vector<oci::Rlimit> limits = {};
  };
  struct Events {
    // It waits for Start; or why it does not, the child having been reaped.
    DoneCallback on_ready;
    // It has ended after it was ready. Its waiters are told by TellExit.
    std::function<void()> on_exit;
  };
  struct CloneInto {
    uint64_t flags = 0;  // CLONE_NEW*
    base::BorrowedFd cgroup;
    // Another, if that one takes no processes any more: its own have enabled controllers below it
    // (cgroups(7), "no internal processes"). May be empty.
    std::function<base::Result<base::UniqueFd>()> cgroup_when_busy = {};
    // A pidfd, or a pid namespace: the child is to be in that one. Invalid: in ours.
    base::BorrowedFd pid_namespace_of;
    // Of the new user namespace, if `flags` has one.
    base::IdMap id_map = {};
  };
  struct ChildEnds {
    base::BorrowedFd channel;
    base::BorrowedFd stdio[3];  // invalid: /dev/null
  };
  // What the child does; it does not return.
  using Body = std::function<void(const ChildEnds&)>;

  // `environment` must outlive the process.
  Process(const Environment& environment, Options options, Events events);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // An error means that there is no child and that on_ready does not come.
  base::Result<void> Launch(const CloneInto& into, const Body& body);

  // Done once execve has succeeded. kFailedPrecondition if it was started before or has ended.
  void Start(DoneCallback done);
  // 0-255. At once if it has been told.
  void Wait(std::function<void(uint32_t exit_status)> done);
  void TellExit();
  // kNotFound if it has ended, kInvalidArgument for what is no signal.
  base::Result<void> Signal(int signal_number);
  void Kill();
  // Nothing happens without a terminal.
  base::Result<void> Resize(uint32_t columns, uint32_t rows);

  enum class State { kCreating, kCreated, kRunning, kStopped };
  State state() const { return state_; }
  // There is a child that has not been reaped.
  bool alive() const { return pid_ >= 0 && !exit_status_; }
  pid_t pid() const { return pid_; }
  base::BorrowedFd pidfd() const { return pidfd_; }

 private:
  struct OwnedEnds;
  base::Result<void> OpenStreams(OwnedEnds& ends);
  base::Result<pid_t> Clone(const CloneInto& into, const Body& body, const ChildEnds& ends);
  base::Result<void> StartRelays(base::UniqueFd terminal);
  void OnChannel();
  void OnReport(InitReport report);
  void OnChannelEnd();
  void OnExit(int wait_status);
  void FailCreation(base::Error error);

  const Environment& environment_;
  const Options options_;
  Events events_;
  State state_ = State::kCreating;
  pid_t pid_ = -1;
  base::UniqueFd pidfd_;
  std::optional<uint32_t> exit_status_;
  bool exit_told_ = false;

  base::UniqueFd channel_;
  base::Watch channel_watch_;
  std::optional<base::Error> creation_error_;
  DoneCallback on_started_;
  std::vector<std::function<void(uint32_t)>> waiters_;

  // Index: StreamKind. The host's and the process' end, until the relays take them over.
  base::UniqueFd host_ends_[3];
  base::UniqueFd pipe_ends_[3];
  base::UniqueFd terminal_;  // a descriptor of the master, to resize it by
  std::unique_ptr<InputRelay> stdin_relay_;
  std::unique_ptr<OutputRelay> stdout_relay_;
  std::unique_ptr<OutputRelay> stderr_relay_;
};

}  // namespace agent
