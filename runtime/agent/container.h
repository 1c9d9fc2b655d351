// Container: one container's init process, cgroup and streams, from the agent's side.
//
// Thread rule: bound to the event loop. Callbacks are called once, now or later, and must not
// destroy the container: post that to the loop. Ownership: destroying a Container closes
// its streams and forgets its process; Delete ends it in good order.
//
//   Create ──► creating ──report──► created ──Start──► running ──exit──► stopped ──Delete──► gone
//                 │                    │                                    ▲
//                 └──failure──► gone   └────────────── killed ──────────────┘
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/agent/cgroup.h"
#include "runtime/agent/init_channel.h"
#include "runtime/agent/reaper.h"
#include "runtime/agent/relay.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// Numbers of StreamHello.Kind.
enum class StreamKind { kStdin = 0, kStdout = 1, kStderr = 2 };

// What containers need of the machine; tests give their own.
struct Environment {
  base::EventLoop& loop;
  Reaper& reaper;
  std::string cgroup_parent;
  // A connection to the host for one stream, its hello already sent.
  std::function<base::Result<base::UniqueFd>(const std::string& container_id, StreamKind kind)>
      dial_stream;
};

struct ContainerOptions {
  std::string id;
  bool open_stdin = false;
  bool open_stdout = false;
  bool open_stderr = false;
};

class Container {
 public:
  using DoneCallback = std::function<void(base::Result<void>)>;

  // `on_created` is called when the init waits for Start, or with why it does not; in the latter
  // case nothing is left of it. `environment` must outlive the container.
  static base::Result<std::unique_ptr<Container>> Create(const Environment& environment,
                                                         ContainerOptions options,
                                                         const oci::Spec& spec,
                                                         DoneCallback on_created);
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  // Done once execve has succeeded. kFailedPrecondition if it was started before or has ended.
  void Start(DoneCallback done);
  // 0-255. At once if it has ended.
  void Wait(std::function<void(uint32_t exit_status)> done);
  // kNotFound if the process has ended. `all`: every process of the container.
  base::Result<void> Signal(int signal_number, bool all);
  base::Result<std::vector<pid_t>> Pids() const;
  // kFailedPrecondition while it runs. Kills what is left and removes the cgroup.
  void Delete(DoneCallback done);

  pid_t pid() const { return pid_; }

 private:
  enum class State { kCreating, kCreated, kRunning, kStopped };

  Container(const Environment& environment, ContainerOptions options, std::string rootfs,
            Cgroup cgroup);
  struct ChildEnds;
  base::Result<void> OpenStreams(bool terminal, ChildEnds& ends);
  base::Result<void> Launch(const oci::Spec& spec, const ChildEnds& ends);
  base::Result<void> StartRelays(base::UniqueFd terminal);
  void OnChannel();
  void OnReport(InitReport report);
  void OnChannelEnd();
  void OnExit(int wait_status);
  void FailCreation(base::Error error);
  void KillInit();
  void RemoveCgroup(int attempts_left);
  void LetGoOfRootfs();

  const Environment& environment_;
  const ContainerOptions options_;
  const std::string rootfs_;
  Cgroup cgroup_;
  State state_ = State::kCreating;
  bool own_pid_namespace_ = false;
  pid_t pid_ = -1;
  base::UniqueFd pidfd_;
  std::optional<uint32_t> exit_status_;

  base::UniqueFd channel_;
  base::Watch channel_watch_;
  std::optional<base::Error> creation_error_;
  DoneCallback on_created_;
  DoneCallback on_started_;
  DoneCallback on_deleted_;
  std::vector<std::function<void(uint32_t)>> waiters_;
  base::Timer removal_timer_;

  // Index: StreamKind. The host's and the container's end, until the relays take them over.
  base::UniqueFd host_ends_[3];
  base::UniqueFd pipe_ends_[3];
  std::unique_ptr<InputRelay> stdin_relay_;
  std::unique_ptr<OutputRelay> stdout_relay_;
  std::unique_ptr<OutputRelay> stderr_relay_;
};

}  // namespace agent
