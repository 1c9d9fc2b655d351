// What the shim holds of one container and of each of its processes. Thread rule: reactor-bound.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oci/spec.h"
#include "runtime/cgroup/systemd_scope.h"
#include "runtime/pod/anchor.h"
#include "runtime/pod/guest_spec.h"
#include "runtime/pod/hooks.h"
#include "runtime/pod/pod.h"
#include "runtime/pod/process.h"
#include "runtime/pod/process_stdio.h"
#include "runtime/storage/share.h"

namespace pod {

// The init, or an exec.
struct ContainerProcess {
  ContainerProcess(base::EventLoop& loop, std::string id_of_exec, Stdio::Paths stdio_paths,
                   ClientStreams* streams, std::function<void(const ExitInfo&)> on_exit)
      : exec_id(std::move(id_of_exec)),
        paths(stdio_paths),
        process(loop, std::move(on_exit)),
        stdio(loop, std::move(stdio_paths), streams) {}

  const std::string exec_id;  // empty: the init
  const Stdio::Paths paths;
  Process process;
  Stdio stdio;
  std::unique_ptr<Anchor> anchor;
  pid_t pid = 0;          // the anchor's, kept when it has ended
  pid_t guest_pid = 0;    // an init's, in the guest
  bool in_guest = false;  // the agent knows it
  bool deleting = false;
  oci::Process spec;  // an exec's, until it is started
};
using ProcessPtr = std::shared_ptr<ContainerProcess>;  // shared: callbacks hold weak ones

struct Container {
  Container(base::EventLoop& loop, const PodOptions& options, CreateRequest create_request,
            std::function<void(const ExitInfo&)> on_exit)
      : request(std::move(create_request)),
        init(std::make_shared<ContainerProcess>(loop, "", PathsOf(request, options.ns),
                                                options.streams, std::move(on_exit))) {}
  static Stdio::Paths PathsOf(const CreateRequest& request, const std::string& ns) {
    return {request.stdin_path, request.stdout_path, request.stderr_path,
            request.terminal,   request.id,          ns};
  }

  const CreateRequest request;
  const ProcessPtr init;
  std::map<std::string, ProcessPtr> execs;
  bool paused = false;
  // Set for a pod's sandbox container, which has no process in the guest: pod_sandbox.cc.
  std::optional<PodSettings> pod_settings;
  bool sandbox() const { return pod_settings.has_value(); }

  // Creation: `create_done` is set until it has been answered.
  PidCallback create_done;
  std::string cgroups_path;                   // as in the spec
  std::optional<cgroup::SystemdScope> scope;  // of that path, until the anchor is in it
  std::string own_cgroup;  // that path as on record; empty: the container lies in the pod's
  std::string spec_json;   // once set up
  std::vector<storage::SharedTree> trees;  // once set up, until they are in the share
  oci::CpuLimits cpu;                      // as in the spec
  HookPlan hooks;
  bool set_up = false;  // its mounts may exist
  bool stdio_open = false;
  bool asked_guest = false;  // CreateContainer was called
  bool failed = false;       // being undone
  bool ended = false;        // its init has, though nobody may have been told yet
  base::Timer oom_pause;     // before the agent is asked again

  bool created() const { return !create_done && !failed; }
  const std::string& id() const { return request.id; }
};
using ContainerPtr = std::shared_ptr<Container>;  // shared: callbacks hold weak ones

}  // namespace pod
