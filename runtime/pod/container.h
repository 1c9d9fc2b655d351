// What the shim holds of one container. Thread rule: reactor-bound.
#pragma once

#include <memory>
#include <utility>

#include "runtime/pod/anchor.h"
#include "runtime/pod/pod.h"
#include "runtime/pod/process.h"
#include "runtime/pod/process_stdio.h"

namespace pod {

struct Container {
  Container(base::EventLoop& loop, CreateRequest create_request,
            std::function<void(const ExitInfo&)> on_exit)
      : request(std::move(create_request)),
        init(loop, std::move(on_exit)),
        stdio(loop,
              {request.stdin_path, request.stdout_path, request.stderr_path, request.terminal}) {}

  const CreateRequest request;
  Process init;
  Stdio stdio;
  std::unique_ptr<Anchor> anchor;
  pid_t pid = 0;  // the anchor's, kept when it has ended

  // Creation: `create_done` is set until it has been answered.
  PidCallback create_done;
  std::string cgroups_path;  // as in the spec
  std::string spec_json;     // once set up
  bool set_up = false;       // its mounts may exist
  bool stdio_open = false;
  bool asked_guest = false;  // CreateContainer was called
  bool in_guest = false;     // the agent knows it
  bool failed = false;       // being undone
  bool deleting = false;

  bool created() const { return !create_done && !failed; }
};

}  // namespace pod
