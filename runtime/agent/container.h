// Container: one container's processes and cgroup, from the agent's side.
//
// Thread rule: bound to the event loop. Callbacks are called once, now or later, and must not
// destroy the container: post that to the loop. Ownership: destroying a Container closes
// its streams and forgets its processes; Delete ends it in good order.
//
// The init's exit is told last: when every exec has ended, too. An empty exec_id means the init;
// kNotFound for an exec that is not known.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/agent/cgroup.h"
#include "runtime/agent/cgroup_events.h"
#include "runtime/agent/cgroup_stats.h"
#include "runtime/agent/environment.h"
#include "runtime/agent/process.h"
#include "runtime/agent/seccomp_profile.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"

namespace agent {

struct StreamOptions {
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
                                                         std::string id, StreamOptions streams,
                                                         const oci::Spec& spec,
                                                         DoneCallback on_created);
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  // A further process, up to execve. kFailedPrecondition unless the init runs and nothing is
  // frozen; kAlreadyExists for an id that is taken.
  void Exec(const std::string& exec_id, StreamOptions streams, const oci::Process& process,
            DoneCallback on_created);

  base::Result<Process*> Find(const std::string& exec_id);
  void Start(const std::string& exec_id, DoneCallback done);
  void Wait(const std::string& exec_id, std::function<void(base::Result<uint32_t>)> done);
  // kNotFound if the process has ended. `all`: every process of the container.
  base::Result<void> Signal(const std::string& exec_id, int signal_number, bool all);
  base::Result<std::vector<pid_t>> Pids() const;
  // Those that neither Create nor Exec made.
  base::Result<std::vector<pid_t>> OtherPids() const;
  // kFailedPrecondition while it runs. Of the init: kills what is left and removes the cgroup.
  void Delete(const std::string& exec_id, DoneCallback done);

  // Done when it is so. kFailedPrecondition unless the init runs.
  void Freeze(bool frozen, DoneCallback done);
  base::Result<void> Update(const oci::Resources& resources);
  // As Cgroup's.
  base::Result<void> SetCpuset(const std::string& cpus, const std::string& mems) {
    return cgroup_.SetCpuset(cpus, mems);
  }
  CgroupStats Stats() const { return ReadCgroupStats(cgroup_.path()); }
  // Answers when the kernel has killed more than `seen` processes for memory, or kNotFound when
  // the container goes.
  void WaitOom(uint64_t seen, std::function<void(base::Result<uint64_t>)> done);

 private:
  Container(const Environment& environment, std::string id, const oci::Spec& spec, Cgroup cgroup);
  base::Result<Process::Options> OptionsOf(const std::string& exec_id, StreamOptions streams,
                                           const oci::Process& process) const;
  void LoadNetworkModules() const;
  base::Result<void> Launch(StreamOptions streams, DoneCallback on_created);
  base::Result<void> DelegateCgroup(uid_t user);
  base::Result<void> WatchMemory();
  void OnInitReady(base::Result<void> ready);
  void OnExit();
  void OnMemoryEvent();
  void CheckFrozen();
  void DeleteExec(const std::string& exec_id, DoneCallback done);
  void RemoveCgroup(int attempts_left);
  void LetGoOfRootfs();

  const Environment& environment_;
  const std::string id_;
  const oci::Spec spec_;
  oci::Resources applied_;  // the spec's at first; of updates, what CompleteUpdate looks at
  Cgroup cgroup_;
  std::optional<SeccompProgram> seccomp_;
  bool own_pid_namespace_ = false;
  bool guests_pid_namespace_ = true;  // neither its own nor another container's
  bool user_namespace_ = false;
  std::unique_ptr<Process> init_;
  std::map<std::string, std::unique_ptr<Process>> execs_;

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what is posted
  DoneCallback on_created_;
  std::optional<base::Error> creation_error_;
  DoneCallback on_deleted_;
  base::Timer removal_timer_;

  bool frozen_ = false;  // as asked for
  DoneCallback on_frozen_;
  std::unique_ptr<CgroupEvents> cgroup_events_;
  std::unique_ptr<CgroupEvents> memory_events_;  // none without a memory controller
  struct OomWaiter {
    uint64_t seen;
    std::function<void(base::Result<uint64_t>)> done;
  };
  std::vector<OomWaiter> oom_waiters_;
};

}  // namespace agent
