// What processes and containers need of the machine; tests give their own.
#pragma once

#include <functional>
#include <string>

#include "runtime/agent/reaper.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

// Numbers of StreamHello.Kind.
// kForward: exec_id is a forward's id, and there is no container.
enum class StreamKind { kStdin = 0, kStdout = 1, kStderr = 2, kForward = 3 };

// exec_id: empty for the container's init.
struct ProcessId {
  std::string container_id;
  std::string exec_id;
};

struct Environment {
  base::EventLoop& loop;
  Reaper& reaper;
  std::string cgroup_parent;
  // A connection to the host for one stream, its hello already sent, with the token of Hello.
  std::function<base::Result<base::UniqueFd>(const ProcessId& process, StreamKind kind)>
      dial_stream;
  // Kernel modules for containers with CAP_NET_ADMIN: a directory as LoadModulesOnce takes it.
  std::string network_modules = {};
};

}  // namespace agent
