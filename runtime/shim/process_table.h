// Which events of which process have gone out: what keeps create < start < exit < delete, and one
// exit per process, whatever order the pod reports in.
//
//   kCreating ──Created──► kCreated ──Starting──► kStarting ──Started──► kStarted ──Exit──► kExited
//
// An exit that comes in kCreating or kStarting is kept until that call has ended. Thread rule: a
// value, no I/O.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "runtime/pod/pod.h"

namespace shim {

class ProcessTable {
 public:
  // The exit to publish now, if one was waiting for this step.
  using Exit = std::optional<pod::ExitInfo>;

  void BeginCreate(const std::string& id, const std::string& exec_id);
  Exit Created(const std::string& id, const std::string& exec_id);
  void BeginStart(const std::string& id, const std::string& exec_id);
  Exit EndStart(const std::string& id, const std::string& exec_id, bool started);

  // An exit that the pod reports: what to publish now, nothing if it must wait, or is a second one,
  // or the process is not known.
  Exit Exited(const std::string& id, const std::string& exec_id, const pod::ExitInfo& exit);

  // Forgets the process. The exit to publish before its delete event, if it was started and none
  // has gone out. With the init go the execs.
  Exit Forget(const std::string& id, const std::string& exec_id, const pod::ExitInfo& exit);

  size_t size() const { return processes_.size(); }
  // One line each, for the log.
  std::string Dump() const;

 private:
  enum class State { kCreating, kCreated, kStarting, kStarted, kExited };
  struct Process {
    State state = State::kCreating;
    Exit held;
  };
  using Key = std::pair<std::string, std::string>;
  Exit Release(Process& process, State state);

  std::map<Key, Process> processes_;
};

}  // namespace shim
