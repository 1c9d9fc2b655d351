#include "runtime/shim/no_pod.h"

namespace shim {
namespace {

base::Error NotCreated() { return base::MakeError(base::Code::kNotFound, "container not created"); }

}  // namespace

void NoPod::CreateContainer(pod::CreateRequest, pod::PidCallback done) {
  done(base::Error(code_, reason_));
}
void NoPod::Start(const std::string&, const std::string&, pod::PidCallback done) {
  done(NotCreated());
}
base::Result<pod::ProcessState> NoPod::State(const std::string&, const std::string&) {
  return NotCreated();
}
void NoPod::Wait(const std::string&, const std::string&, std::weak_ptr<void>,
                 pod::ExitCallback done) {
  done(NotCreated());
}
void NoPod::Kill(const std::string&, const std::string&, uint32_t, bool, pod::DoneCallback done) {
  done(NotCreated());
}
void NoPod::Delete(const std::string&, const std::string&, pod::ExitCallback done) {
  done(NotCreated());
}
void NoPod::Pids(const std::string&, pod::PidsCallback done) { done(NotCreated()); }
base::Result<void> NoPod::Exec(pod::ExecRequest) { return NotCreated(); }
base::Result<void> NoPod::CloseStdin(const std::string&, const std::string&) {
  return NotCreated();
}
void NoPod::Resize(const std::string&, const std::string&, uint32_t, uint32_t,
                   pod::DoneCallback done) {
  done(NotCreated());
}
void NoPod::Pause(const std::string&, pod::DoneCallback done) { done(NotCreated()); }
void NoPod::Resume(const std::string&, pod::DoneCallback done) { done(NotCreated()); }
void NoPod::Update(const std::string&, const std::string&, pod::DoneCallback done) {
  done(NotCreated());
}
void NoPod::Stats(const std::string&, pod::StatsCallback done) { done(NotCreated()); }

void NoPod::PodStats(pod::StatsCallback done) { done(pod::ContainerStats()); }

}  // namespace shim
