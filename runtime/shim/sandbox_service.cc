#include "runtime/shim/sandbox_service.h"

#include <signal.h>
#include <sys/utsname.h>

#include <utility>

#include "oci/spec.h"
#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/shim/flags.h"
#include "runtime/shim/register.h"
#include "runtime/shim/sandbox_spec.h"
#include "runtime/shim/timestamp.h"

namespace shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

constexpr char kService[] = "containerd.runtime.sandbox.v1.Sandbox";

timespec Now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

// As Go calls it (GOARCH).
std::string Architecture() {
  utsname name{};
  uname(&name);
  const std::string machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

}  // namespace

SandboxService::SandboxService(pod::PodInterface& pod, MetricsVersion metrics,
                               std::string config_toml_path,
                               std::function<void(std::function<void()> freed)> shut_down)
    : pod_(pod),
      metrics_(metrics),
      config_toml_path_(std::move(config_toml_path)),
      shut_down_(std::move(shut_down)) {}

void SandboxService::RegisterIn(ttrpc::ServiceTable& table) {
  Register(table, kService, "CreateSandbox", this, &SandboxService::CreateSandbox);
  Register(table, kService, "StartSandbox", this, &SandboxService::StartSandbox);
  Register(table, kService, "Platform", this, &SandboxService::Platform);
  Register(table, kService, "StopSandbox", this, &SandboxService::StopSandbox);
  Register(table, kService, "SandboxStatus", this, &SandboxService::SandboxStatus);
  Register(table, kService, "PingSandbox", this, &SandboxService::PingSandbox);
  Register(table, kService, "ShutdownSandbox", this, &SandboxService::ShutdownSandbox);
  Register(table, kService, "SandboxMetrics", this, &SandboxService::SandboxMetrics);
  table.RegisterUnary<sandbox::WaitSandboxRequest, sandbox::WaitSandboxResponse>(
      kService, "WaitSandbox",
      [this](const ttrpc::CallContext& context, const sandbox::WaitSandboxRequest& request,
             Done<sandbox::WaitSandboxResponse> done) {
        WaitSandbox(context.connection, request, std::move(done));
      });
}

Result<void> SandboxService::Check(const std::string& id) const {
  if (sandbox_ && sandbox_->id == id) return base::Ok();
  return MakeError(Code::kNotFound, "sandbox {} not created", base::Escaped(id, 80));
}

void SandboxService::CreateSandbox(const sandbox::CreateSandboxRequest& request,
                                   const Done<sandbox::CreateSandboxResponse>& done) {
  Result<void> checked = CheckIdentifier("sandbox id", request.sandbox_id());
  if (!checked) return done(std::move(checked.error()));
  if (sandbox_ || pod_.container_count() != 0) {
    return done(MakeError(Code::kAlreadyExists, "this shim has a {} already",
                          sandbox_ ? "sandbox" : "pod of containers"));
  }
  const std::string& bundle = request.bundle_path();
  if (bundle.empty() || bundle[0] != '/') {
    return done(
        MakeError(Code::kInvalidArgument, "bundle_path \"{}\" is no absolute path", bundle));
  }
  Result<oci::Spec> spec = SandboxSpec(request);
  if (!spec) return done(std::move(spec.error()));
  // Where `delete` and the pod look for it, as if containerd had written it.
  Result<void> written =
      base::WriteFileAtomic(bundle + "/config.json", oci::Serialise(*spec), 0600);
  if (!written) return done(std::move(written.error()));
  sandbox_ = Sandbox{.id = request.sandbox_id(), .bundle = bundle};
  done(sandbox::CreateSandboxResponse());
}

void SandboxService::StartSandbox(const sandbox::StartSandboxRequest& request,
                                  Done<sandbox::StartSandboxResponse> done) {
  Result<void> checked = Check(request.sandbox_id());
  if (!checked) return done(std::move(checked.error()));
  if (sandbox_->started || sandbox_->stopping) {
    return done(MakeError(Code::kFailedPrecondition, "sandbox {} was {} before", sandbox_->id,
                          sandbox_->stopping ? "stopped" : "started"));
  }
  sandbox_->started = true;
  pod::CreateRequest create;
  create.id = sandbox_->id;
  create.bundle = sandbox_->bundle;
  create.config_toml_path = config_toml_path_;
  pod_.CreateContainer(
      std::move(create), [this, id = sandbox_->id, done = std::move(done)](Result<pid_t> created) {
        if (!created) return OnStarted(std::move(created), done);
        pod_.Start(id, "",
                   [this, done](Result<pid_t> started) { OnStarted(std::move(started), done); });
      });
}

void SandboxService::OnStarted(Result<pid_t> started,
                               const Done<sandbox::StartSandboxResponse>& done) {
  if (!started) {
    LOG_WARNING("sandbox {}: {}", sandbox_->id, started.error().Trail());
    sandbox_->started = pod_.State(sandbox_->id, "").has_value();
    return done(std::move(started.error()));
  }
  sandbox_->created_at = Now();
  sandbox::StartSandboxResponse response;
  response.set_pid(static_cast<uint32_t>(*started));
  *response.mutable_created_at() = ToTimestamp(sandbox_->created_at);
  done(std::move(response));
}

void SandboxService::Platform(const sandbox::PlatformRequest& request,
                              const Done<sandbox::PlatformResponse>& done) {
  Result<void> checked = Check(request.sandbox_id());
  if (!checked) return done(std::move(checked.error()));
  sandbox::PlatformResponse response;
  response.mutable_platform()->set_os("linux");
  response.mutable_platform()->set_architecture(Architecture());
  done(std::move(response));
}

// The machine goes, with what containerd has left in it; the daemon stays to tell of it. Its time
// limit is for processes that want to end by themselves: containers have been stopped by calls of
// their own.
void SandboxService::StopSandbox(const sandbox::StopSandboxRequest& request,
                                 Done<sandbox::StopSandboxResponse> done) {
  Result<void> checked = Check(request.sandbox_id());
  if (!checked) return done(std::move(checked.error()));
  sandbox_->stopping = true;
  // Not there, or ended already: so be it.
  pod_.Kill(sandbox_->id, "", SIGKILL, true, [this, done = std::move(done)](const Result<void>&) {
    pod_.Shutdown([done] { done(sandbox::StopSandboxResponse()); });
  });
}

void SandboxService::WaitSandbox(const std::weak_ptr<void>& caller,
                                 const sandbox::WaitSandboxRequest& request,
                                 Done<sandbox::WaitSandboxResponse> done) {
  Result<void> checked = Check(request.sandbox_id());
  if (!checked) return done(std::move(checked.error()));
  pod_.Wait(sandbox_->id, "", caller, [done = std::move(done)](Result<pod::ExitInfo> exit) {
    if (!exit) return done(std::move(exit.error()));
    sandbox::WaitSandboxResponse response;
    response.set_exit_status(exit->exit_status);
    *response.mutable_exited_at() = ToTimestamp(exit->exited_at);
    done(std::move(response));
  });
}

void SandboxService::SandboxStatus(const sandbox::SandboxStatusRequest& request,
                                   const Done<sandbox::SandboxStatusResponse>& done) {
  Result<void> checked = Check(request.sandbox_id());
  if (!checked) return done(std::move(checked.error()));
  sandbox::SandboxStatusResponse response;
  response.set_sandbox_id(sandbox_->id);
  response.set_state("SANDBOX_NOTREADY");
  if (sandbox_->created_at.tv_sec != 0) {
    *response.mutable_created_at() = ToTimestamp(sandbox_->created_at);
  }
  if (const auto state = pod_.State(sandbox_->id, "")) {
    response.set_pid(static_cast<uint32_t>(state->pid));
    if (state->status == pod::Status::kRunning) response.set_state("SANDBOX_READY");
    if (state->exit) *response.mutable_exited_at() = ToTimestamp(state->exit->exited_at);
  }
  done(std::move(response));
}

void SandboxService::PingSandbox(const sandbox::PingRequest& request,
                                 const Done<sandbox::PingResponse>& done) {
  Result<void> checked = Check(request.sandbox_id());
  if (!checked) return done(std::move(checked.error()));
  done(sandbox::PingResponse());
}

void SandboxService::ShutdownSandbox(const sandbox::ShutdownSandboxRequest& request,
                                     Done<sandbox::ShutdownSandboxResponse> done) {
  // A shim whose CreateSandbox failed has to end, too.
  if (sandbox_) {
    Result<void> checked = Check(request.sandbox_id());
    if (!checked) return done(std::move(checked.error()));
    sandbox_->stopping = true;
  }
  shut_down_([done = std::move(done)] { done(sandbox::ShutdownSandboxResponse()); });
}

void SandboxService::SandboxMetrics(const sandbox::SandboxMetricsRequest& request,
                                    Done<sandbox::SandboxMetricsResponse> done) {
  Result<void> checked = Check(request.sandbox_id());
  if (!checked) return done(std::move(checked.error()));
  Result<pod::ProcessState> state = pod_.State(sandbox_->id, "");
  if (!state) return done(std::move(state.error()));
  pod_.PodStats([this, done = std::move(done)](Result<pod::ContainerStats> stats) {
    if (!stats) return done(std::move(stats.error()));
    sandbox::SandboxMetricsResponse response;
    sandbox::Metric* const metrics = response.mutable_metrics();
    *metrics->mutable_timestamp() = ToTimestamp(Now());
    metrics->set_id(sandbox_->id);
    *metrics->mutable_data() = ToMetrics(*stats, metrics_);
    done(std::move(response));
  });
}

}  // namespace shim
