#include "runtime/shim/process_table.h"

#include <fmt/format.h>

namespace shim {

void ProcessTable::BeginCreate(const std::string& id, const std::string& exec_id) {
  processes_.try_emplace(Key(id, exec_id));
}

ProcessTable::Exit ProcessTable::Release(Process& process, State state) {
  process.state = process.held ? State::kExited : state;
  return std::exchange(process.held, std::nullopt);
}

ProcessTable::Exit ProcessTable::Created(const std::string& id, const std::string& exec_id) {
  const auto found = processes_.find(Key(id, exec_id));
  if (found == processes_.end() || found->second.state != State::kCreating) return std::nullopt;
  return Release(found->second, State::kCreated);
}

void ProcessTable::BeginStart(const std::string& id, const std::string& exec_id) {
  const auto found = processes_.find(Key(id, exec_id));
  // A second Start must not move a process that runs.
  if (found == processes_.end() || found->second.state != State::kCreated) return;
  found->second.state = State::kStarting;
}

ProcessTable::Exit ProcessTable::EndStart(const std::string& id, const std::string& exec_id,
                                          bool started) {
  const auto found = processes_.find(Key(id, exec_id));
  if (found == processes_.end() || found->second.state != State::kStarting) return std::nullopt;
  return Release(found->second, started ? State::kStarted : State::kCreated);
}

ProcessTable::Exit ProcessTable::Exited(const std::string& id, const std::string& exec_id,
                                        const pod::ExitInfo& exit) {
  const auto found = processes_.find(Key(id, exec_id));
  if (found == processes_.end() || found->second.state == State::kExited) return std::nullopt;
  Process& process = found->second;
  if (process.state == State::kCreating || process.state == State::kStarting) {
    if (!process.held) process.held = exit;
    return std::nullopt;
  }
  process.state = State::kExited;
  return exit;
}

ProcessTable::Exit ProcessTable::Forget(const std::string& id, const std::string& exec_id,
                                        const pod::ExitInfo& exit) {
  Exit unpublished;
  const auto found = processes_.find(Key(id, exec_id));
  if (found != processes_.end() &&
      (found->second.state == State::kStarted || found->second.state == State::kStarting)) {
    unpublished = exit;
  }
  if (!exec_id.empty()) {
    processes_.erase(Key(id, exec_id));
    return unpublished;
  }
  auto next = processes_.lower_bound(Key(id, ""));
  while (next != processes_.end() && next->first.first == id) next = processes_.erase(next);
  return unpublished;
}

std::string ProcessTable::Dump() const {
  static constexpr const char* kNames[] = {"creating", "created", "starting", "started", "exited"};
  std::string text;
  for (const auto& [key, process] : processes_) {
    text +=
        fmt::format("container {} exec \"{}\": {}{}\n", key.first, key.second,
                    kNames[static_cast<size_t>(process.state)], process.held ? ", exit held" : "");
  }
  return text;
}

}  // namespace shim
