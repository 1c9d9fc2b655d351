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
    if (create_error && hold) {
      states[request.id].id = request.id;
      return Answer([this, id = request.id, done] {
        states.erase(id);
        done(base::Error(base::Code::kNotFound, *create_error));
      });
    }
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
  base::Result<void> Exec(pod::ExecRequest request) override {
    if (states.count(request.id) == 0) return NotCreated();
    const std::string key = Key(request.id, request.exec_id);
    if (states.count(key) != 0) {
      return base::MakeError(base::Code::kAlreadyExists, "exec exists");
    }
    pod::ProcessState state;
    state.id = request.id;
    state.exec_id = request.exec_id;
    state.status = pod::Status::kCreated;
    state.terminal = request.terminal;
    states[key] = state;
    execs.push_back(std::move(request));
    return base::Ok();
  }
  void Start(const std::string& id, const std::string& exec_id, pod::PidCallback done) override {
    const std::string key = Key(id, exec_id);
    if (states.count(key) == 0) return done(NotCreated());
    if (states[key].status != pod::Status::kCreated) {
      return done(base::MakeError(base::Code::kFailedPrecondition, "not created"));
    }
    if (start_error) return done(base::Error(base::Code::kNotFound, *start_error));
    states[key].status = pod::Status::kRunning;
    Answer([done] { done(pid_t{100}); });
  }
  base::Result<pod::ProcessState> State(const std::string& id,
                                        const std::string& exec_id) override {
    if (states.count(Key(id, exec_id)) == 0) return NotCreated();
    return states[Key(id, exec_id)];
  }
  void Wait(const std::string& id, const std::string& exec_id, std::weak_ptr<void> caller,
            pod::ExitCallback done) override {
    const std::string key = Key(id, exec_id);
    if (states.count(key) == 0) return done(NotCreated());
    if (states[key].exit) return done(*states[key].exit);
    waiters.push_back({std::move(caller), std::move(done)});
  }
  void Kill(const std::string& id, const std::string& exec_id, uint32_t signal, bool all,
            pod::DoneCallback done) override {
    if (states.count(Key(id, exec_id)) == 0) return done(NotCreated());
    signals.emplace_back(signal, all);
    done(base::Ok());
  }
  void Delete(const std::string& id, const std::string& exec_id, pod::ExitCallback done) override {
    const std::string key = Key(id, exec_id);
    if (states.count(key) == 0) return done(NotCreated());
    if (states[key].status == pod::Status::kRunning) {
      return done(base::MakeError(base::Code::kFailedPrecondition, "it runs"));
    }
    const pod::ExitInfo exit = states[key].exit.value_or(pod::ExitInfo{100, 137, {1, 2}});
    states.erase(key);
    done(exit);
  }
  void Pids(const std::string& id, pod::PidsCallback done) override {
    if (states.count(id) == 0) return done(NotCreated());
    done(std::vector<pod::ProcessPid>{{100, ""}, {101, "e"}, {pod::kGuestPids + 7, ""}});
  }
  void Resize(const std::string& id, const std::string& exec_id, uint32_t columns, uint32_t rows,
              pod::DoneCallback done) override {
    if (states.count(Key(id, exec_id)) == 0) return done(NotCreated());
    sizes.emplace_back(columns, rows);
    done(base::Ok());
  }
  void Pause(const std::string& id, pod::DoneCallback done) override {
    SetPaused(id, pod::Status::kRunning, pod::Status::kPaused, done);
  }
  void Resume(const std::string& id, pod::DoneCallback done) override {
    SetPaused(id, pod::Status::kPaused, pod::Status::kRunning, done);
  }
  void Update(const std::string& id, const std::string& resources_json,
              pod::DoneCallback done) override {
    if (states.count(id) == 0) return done(NotCreated());
    updates.push_back(resources_json);
    done(base::Ok());
  }
  void Stats(const std::string& id, pod::StatsCallback done) override {
    if (states.count(id) == 0) return done(NotCreated());
    pod::ContainerStats stats;
    stats.values["memory.current"] = 4096;
    done(std::move(stats));
  }
  void PodStats(pod::StatsCallback done) override {
    pod::ContainerStats stats;
    stats.values["memory.current"] = 4096 * states.size();
    done(std::move(stats));
  }
  base::Result<void> CloseStdin(const std::string& id, const std::string&) override {
    if (states.count(id) == 0) return NotCreated();
    ++stdin_closed;
    return base::Ok();
  }
  size_t container_count() const override { return states.size(); }
  void Shutdown(std::function<void()> done) override {
    ++shutdowns;
    done();
  }

  // The process ends; the caller tells the service with the event.
  pod::Event End(const std::string& id, uint32_t status, const std::string& exec_id = "") {
    const pod::ExitInfo exit{100, status, {1000, 5}};
    states[Key(id, exec_id)].status = pod::Status::kStopped;
    states[Key(id, exec_id)].exit = exit;
    for (auto& [caller, done] : waiters) {
      if (!caller.expired()) done(exit);
    }
    waiters.clear();
    return {pod::Event::Kind::kExit, id, exec_id, exit};
  }
  void SetPaused(const std::string& id, pod::Status from, pod::Status to,
                 const pod::DoneCallback& done) {
    if (states.count(id) == 0) return done(NotCreated());
    if (states[id].status != from) {
      return done(base::MakeError(base::Code::kFailedPrecondition, "wrong state"));
    }
    states[id].status = to;
    done(base::Ok());
  }
  static std::string Key(const std::string& id, const std::string& exec_id) {
    return exec_id.empty() ? id : id + "/" + exec_id;
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

  std::map<std::string, pod::ProcessState> states;  // by Key
  std::vector<pod::ExecRequest> execs;
  std::vector<std::pair<uint32_t, uint32_t>> sizes;
  std::vector<std::string> updates;
  std::vector<pod::CreateRequest> created;
  std::vector<std::pair<std::weak_ptr<void>, pod::ExitCallback>> waiters;
  std::vector<std::pair<uint32_t, bool>> signals;
  std::optional<std::string> create_error;
  std::optional<std::string> start_error;
  bool hold = false;  // keep the answers to Create and Start in `held`
  std::vector<std::function<void()>> held;
  int stdin_closed = 0;
  int shutdowns = 0;
};

}  // namespace shim
