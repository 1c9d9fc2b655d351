// The pod of a daemon that could not make one: each Create says why, and nothing else exists. The
// user sees the reason instead of a connection that closed. Thread rule: reactor-bound.
#pragma once

#include <string>
#include <vector>

#include "runtime/pod/pod.h"

namespace shim {

class NoPod : public pod::PodInterface {
 public:
  explicit NoPod(const base::Error& reason) : code_(reason.code()), reason_(reason.Message()) {}

  void CreateContainer(pod::CreateRequest request, pod::PidCallback done) override;
  base::Result<void> Exec(pod::ExecRequest request) override;
  void Start(const std::string& id, const std::string& exec_id, pod::PidCallback done) override;
  base::Result<pod::ProcessState> State(const std::string& id, const std::string& exec_id) override;
  void Wait(const std::string& id, const std::string& exec_id, std::weak_ptr<void> caller,
            pod::ExitCallback done) override;
  void Kill(const std::string& id, const std::string& exec_id, uint32_t signal, bool all,
            pod::DoneCallback done) override;
  void Delete(const std::string& id, const std::string& exec_id, pod::ExitCallback done) override;
  void Pids(const std::string& id, pod::PidsCallback done) override;
  base::Result<void> CloseStdin(const std::string& id, const std::string& exec_id) override;
  void Resize(const std::string& id, const std::string& exec_id, uint32_t columns, uint32_t rows,
              pod::DoneCallback done) override;
  void Pause(const std::string& id, pod::DoneCallback done) override;
  void Resume(const std::string& id, pod::DoneCallback done) override;
  void Update(const std::string& id, const std::string& resources_json,
              pod::DoneCallback done) override;
  void Stats(const std::string& id, pod::StatsCallback done) override;
  void PodStats(pod::StatsCallback done) override;
  size_t container_count() const override { return 0; }
  void Shutdown(std::function<void()> done) override { done(); }

 private:
  base::Code code_;
  std::string reason_;
};

}  // namespace shim
