// What the shim asks of a pod: one virtual machine and the containers in it. PodInterface is what
// TaskService is written against; pod::Pod implements it, FakePod (tests) too.
//
// Thread rule: reactor-bound, callbacks included. A callback is called exactly once, now or later,
// except that destroying the pod drops those still pending.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/pod/client_streams.h"
#include "runtime/storage/mount.h"

namespace pod {

struct CreateRequest {
  std::string id;
  std::string bundle;  // absolute
  std::vector<storage::Mount> rootfs;
  bool terminal = false;
  // Empty: not connected.
  std::string stdin_path;
  std::string stdout_path;
  std::string stderr_path;
  // From runtimeoptions.v1.Options; empty: the default file.
  std::string config_toml_path;
};

struct ExecRequest {
  std::string id;
  std::string exec_id;
  // OCI runtime-spec 1.2, config.md "Process".
  std::string process_json;
  bool terminal = false;  // wins over the process' own
  std::string stdin_path;
  std::string stdout_path;
  std::string stderr_path;
};

// The values of containerd.v1.types.Status.
enum class Status { kUnknown = 0, kCreated = 1, kRunning = 2, kStopped = 3, kPaused = 4 };

struct ExitInfo {
  pid_t pid = 0;             // host pid (the anchor's)
  uint32_t exit_status = 0;  // 0-255, as a shell gives it
  timespec exited_at{};      // CLOCK_REALTIME
};

// PID_MAX_LIMIT (Linux include/linux/threads.h): no pid of a host is above it.
inline constexpr pid_t kGuestPids = 4 << 20;

struct ProcessPid {
  pid_t pid = 0;        // on the host, or above all that a host can have: see Pids
  std::string exec_id;  // empty: the init
};

// What a container has used, by the names of cgroup v2 files in the guest: "memory.current",
// "cpu.stat/usage_usec". What has no limit, or is not known, is absent.
struct ContainerStats {
  std::map<std::string, uint64_t> values;
  struct Io {
    uint32_t major = 0;
    uint32_t minor = 0;
    uint64_t rbytes = 0;
    uint64_t wbytes = 0;
    uint64_t rios = 0;
    uint64_t wios = 0;
  };
  std::vector<Io> io;
};

struct ProcessState {
  std::string id;
  std::string exec_id;  // empty: the container's init
  std::string bundle;
  pid_t pid = 0;
  Status status = Status::kUnknown;
  // As the client sent them, byte for byte: it re-attaches by them.
  std::string stdin_path;
  std::string stdout_path;
  std::string stderr_path;
  bool terminal = false;
  std::optional<ExitInfo> exit;
};

// What happens without a call that would say so. create, start and delete events are made by the
// caller, which knows when those calls have succeeded.
struct Event {
  enum class Kind {
    kExit,  // exactly one per process that was started, or was created and then killed
    kOom,
  };
  Kind kind = Kind::kExit;
  std::string container_id;
  std::string exec_id;           // kExit; empty: the container's init
  std::optional<ExitInfo> exit;  // kExit
};

using PidCallback = std::function<void(base::Result<pid_t>)>;
using ExitCallback = std::function<void(base::Result<ExitInfo>)>;
using DoneCallback = std::function<void(base::Result<void>)>;
using PidsCallback = std::function<void(base::Result<std::vector<ProcessPid>>)>;
using StatsCallback = std::function<void(base::Result<ContainerStats>)>;

// Errors, all calls: kNotFound "container not created" (or the exec's) for an unknown id.
class PodInterface {
 public:
  virtual ~PodInterface() = default;

  // Everything up to, not including, execve. kAlreadyExists if `id` is known.
  virtual void CreateContainer(CreateRequest request, PidCallback done) = 0;
  // Registers a further process; nothing is asked of the guest before its Start.
  // kFailedPrecondition in a container that is paused or has ended.
  virtual base::Result<void> Exec(ExecRequest request) = 0;
  // `exec_id` empty: the init. kFailedPrecondition if it was started before or has ended, for an
  // exec also unless the init runs. An exec that fails has ended, without an exit event.
  virtual void Start(const std::string& id, const std::string& exec_id, PidCallback done) = 0;
  virtual base::Result<ProcessState> State(const std::string& id, const std::string& exec_id) = 0;
  // Answers at once if it has ended. The callback is dropped once `caller` has expired.
  virtual void Wait(const std::string& id, const std::string& exec_id, std::weak_ptr<void> caller,
                    ExitCallback done) = 0;
  // kNotFound if it has ended already, kFailedPrecondition for an exec that is not in the guest
  // yet. `all`: every process of the container.
  virtual void Kill(const std::string& id, const std::string& exec_id, uint32_t signal, bool all,
                    DoneCallback done) = 0;
  // kFailedPrecondition while it runs, kNotFound while it is being created, which is called off. So
  // is the Start of an exec that the guest does not know yet. Waits for the streams to drain, 10 s
  // at most; when the init goes, the container's rootfs is unmounted.
  virtual void Delete(const std::string& id, const std::string& exec_id, ExitCallback done) = 0;
  // Host pids of the init and the execs; never empty for a container that is created or running
  // (containerd deletes a shim that answers an empty list when it restarts). Processes that these
  // have started have pids in the guest alone: kGuestPids more than that, so that no host process
  // is meant. They are left out where the guest does not tell them in time.
  virtual void Pids(const std::string& id, PidsCallback done) = 0;
  virtual base::Result<void> CloseStdin(const std::string& id, const std::string& exec_id) = 0;
  // Nothing happens without a terminal.
  virtual void Resize(const std::string& id, const std::string& exec_id, uint32_t columns,
                      uint32_t rows, DoneCallback done) = 0;

  // kFailedPrecondition in the wrong state.
  virtual void Pause(const std::string& id, DoneCallback done) = 0;
  virtual void Resume(const std::string& id, DoneCallback done) = 0;
  // `resources_json`: OCI linux.resources; what is absent stays. kFailedPrecondition once the init
  // has ended.
  virtual void Update(const std::string& id, const std::string& resources_json,
                      DoneCallback done) = 0;
  // Also of a container that has ended; empty if the machine has.
  virtual void Stats(const std::string& id, StatsCallback done) = 0;
  // What all containers that were created have used, added up, without limits. One that does not
  // tell, as it goes meanwhile, is left out; what a deleted one has used is gone.
  virtual void PodStats(StatsCallback done) = 0;

  // Those that were created, or are being created, and are not deleted yet.
  virtual size_t container_count() const = 0;
  // Powers the machine off and removes everything on the host; `done` even if some of it failed.
  virtual void Shutdown(std::function<void()> done) = 0;
};

struct PodOptions {
  std::string ns;
  std::string pod_id;
  bool debug = false;
  // Where clients' streams come in; null: there are none.
  ClientStreams* streams = nullptr;
};

// `loop` and `options.streams` must outlive the pod. `on_event` is never called from inside a call
// into the pod.
base::Result<std::unique_ptr<PodInterface>> CreatePod(base::EventLoop& loop, PodOptions options,
                                                      std::function<void(const Event&)> on_event);

struct DeleteInfo {
  pid_t pid = 0;  // 0: not known; CleanUp's may be any of the pod's
  uint32_t exit_status = 0;
  timespec exited_at{};
};

// What `delete` does for a pod whose shim is gone: ends leftover processes of the pod `key` in
// `ns`, unmounts its share and `bundle`/rootfs, removes its runtime state. Idempotent; takes well
// under a second. Finding nothing to do is success.
base::Result<DeleteInfo> CleanUp(const std::string& ns, const std::string& key,
                                 const std::string& bundle);

}  // namespace pod
