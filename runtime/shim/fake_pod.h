// A pod for tests: every call is recorded and answered when the test says so, or at once by
// default.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runtime/pod/pod.h"

namespace shim {

class FakePod : public pod::PodInterface {
 public:
  void CreateContainer(pod::CreateRequest request, pod::PidCallback done) override {
    created.push_back(request);
    if (create_error) return done(base::Error(base::Code::kNotFound, *create_error));
    if (states.count(request.id) != 0) {
      return done(base::MakeError(base::Code::kAlreadyExists, "container exists"));
    }
    pod::ProcessState state;
    state.id = request.id;
    state.bundle = request.bundle;
    state.pid = 100;
    state.status = pod::Status::kCreated;
    state.stdout_path = request.stdout_path;
    states[request.id] = state;
    Answer([done] { done(pid_t{100}); });
  }
  void Start(const std::string& id, const std::string& exec_id, pod::PidCallback done) override {
    if (states.count(id) == 0) return done(NotCreated());
    if (!exec_id.empty()) return done(base::MakeError(base::Code::kNotFound, "no exec"));
    if (states[id].status != pod::Status::kCreated) {
      return done(base::MakeError(base::Code::kFailedPrecondition, "not created"));
    }
    states[id].status = pod::Status::kRunning;
    Answer([done] { done(pid_t{100}); });
  }
  base::Result<pod::ProcessState> State(const std::string& id, const std::string&) override {
    if (states.count(id) == 0) return NotCreated();
    return states[id];
  }
  void Wait(const std::string& id, const std::string&, std::weak_ptr<void> caller,
            pod::ExitCallback done) override {
    if (states.count(id) == 0) return done(NotCreated());
    if (states[id].exit) return done(*states[id].exit);
    waiters.push_back({std::move(caller), std::move(done)});
  }
  void Kill(const std::string& id, const std::string&, uint32_t signal, bool all,
            pod::DoneCallback done) override {
    if (states.count(id) == 0) return done(NotCreated());
    signals.emplace_back(signal, all);
    done(base::Ok());
  }
  void Delete(const std::string& id, const std::string&, pod::ExitCallback done) override {
    if (states.count(id) == 0) return done(NotCreated());
    if (states[id].status == pod::Status::kRunning) {
      return done(base::MakeError(base::Code::kFailedPrecondition, "it runs"));
    }
    const pod::ExitInfo exit = states[id].exit.value_or(pod::ExitInfo{100, 137, {1, 2}});
    states.erase(id);
    done(exit);
  }
  void Pids(const std::string& id,
            std::function<void(base::Result<std::vector<pid_t>>)> done) override {
    if (states.count(id) == 0) return done(NotCreated());
    done(std::vector<pid_t>{100, 101});
  }
  base::Result<void> CloseStdin(const std::string& id, const std::string&) override {
    if (states.count(id) == 0) return NotCreated();
    ++stdin_closed;
    return base::Ok();
  }
  size_t container_count() const override { return states.size(); }
  void Shutdown(std::function<void()> done) override { done(); }

  // The process ends; the caller tells the service with the event.
  pod::Event End(const std::string& id, uint32_t status) {
    const pod::ExitInfo exit{100, status, {1000, 5}};
    states[id].status = pod::Status::kStopped;
    states[id].exit = exit;
    for (auto& [caller, done] : waiters) {
      if (!caller.expired()) done(exit);
    }
    waiters.clear();
    return {pod::Event::Kind::kExit, id, "", exit};
  }
  static base::Error NotCreated() {
    return base::MakeError(base::Code::kNotFound, "container not created");
  }
  void Answer(std::function<void()> answer) {
    if (hold) {
      held.push_back(std::move(answer));
    } else {
      answer();
    }
  }

  std::map<std::string, pod::ProcessState> states;
  std::vector<pod::CreateRequest> created;
  std::vector<std::pair<std::weak_ptr<void>, pod::ExitCallback>> waiters;
  std::vector<std::pair<uint32_t, bool>> signals;
  std::optional<std::string> create_error;
  bool hold = false;  // keep the answers to Create and Start in `held`
  std::vector<std::function<void()>> held;
  int stdin_closed = 0;
};

}  // namespace shim
