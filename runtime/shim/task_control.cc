// The calls of TaskService that steer a container that runs.
#include <utility>

#include "runtime/shim/register.h"
#include "runtime/shim/task_service.h"

namespace shim {
namespace {

using base::Code;
using base::MakeError;
using base::Result;

// `done` for a call that answers nothing but success.
pod::DoneCallback Emptily(TaskService::Done<containerd::Empty> done) {
  return [done = std::move(done)](Result<void> result) {
    if (!result) return done(std::move(result.error()));
    done(containerd::Empty());
  };
}

}  // namespace

void TaskService::RegisterControl(ttrpc::ServiceTable& table, const std::string& service) {
  Register(table, service, "ResizePty", this, &TaskService::ResizePty);
  Register(table, service, "Pause", this, &TaskService::Pause);
  Register(table, service, "Resume", this, &TaskService::Resume);
  Register(table, service, "Update", this, &TaskService::Update);
  Register(table, service, "Stats", this, &TaskService::Stats);
  Register(table, service, "Checkpoint", this, &TaskService::Checkpoint);
}

void TaskService::ResizePty(const task::ResizePtyRequest& request, Done<containerd::Empty> done) {
  pod_.Resize(request.id(), request.exec_id(), request.width(), request.height(),
              Emptily(std::move(done)));
}

void TaskService::Pause(const task::PauseRequest& request, Done<containerd::Empty> done) {
  pod_.Pause(request.id(), [this, id = request.id(), done = std::move(done)](Result<void> paused) {
    if (paused) PublishPaused(id, true);
    Emptily(done)(std::move(paused));
  });
}

void TaskService::Resume(const task::ResumeRequest& request, Done<containerd::Empty> done) {
  pod_.Resume(request.id(),
              [this, id = request.id(), done = std::move(done)](Result<void> resumed) {
                if (resumed) PublishPaused(id, false);
                Emptily(done)(std::move(resumed));
              });
}

void TaskService::Update(const task::UpdateTaskRequest& request, Done<containerd::Empty> done) {
  pod_.Update(request.id(), request.resources().value(), Emptily(std::move(done)));
}

void TaskService::Stats(const task::StatsRequest& request, Done<task::StatsResponse> done) {
  pod_.Stats(request.id(),
             [metrics = metrics_, done = std::move(done)](Result<pod::ContainerStats> stats) {
               if (!stats) return done(std::move(stats.error()));
               task::StatsResponse response;
               *response.mutable_stats() = ToMetrics(*stats, metrics);
               done(std::move(response));
             });
}

void TaskService::Checkpoint(const task::CheckpointTaskRequest& request,
                             const Done<containerd::Empty>& done) {
  if (const auto state = pod_.State(request.id(), ""); !state) {
    return done(MakeError(Code::kNotFound, "{}", state.error().Message()));
  }
  done(MakeError(Code::kUnimplemented,
                 "checkpoint: the container's processes live in the guest's kernel, which has no "
                 "CRIU; Pinion cannot checkpoint a container"));
}

}  // namespace shim
