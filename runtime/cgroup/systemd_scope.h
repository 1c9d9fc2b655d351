// A transient scope of the host's systemd (systemd.scope(5)), for a cgroupsPath in systemd's form.
//
// systemd makes it and delegates it ("Delegate=", systemd.resource-control(5)): a group that it
// does not know would lose its controllers at the next daemon-reload. A scope lasts as long as it
// has a process, so a placeholder is its first one, until the pod's own are there; then, and when
// this process dies, the placeholder ends. The scope itself goes with its last process.
//
// Thread rule: thread-bound; Start blocks. Ownership: destroying it ends the placeholder.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "runtime/base/result.h"
#include "runtime/base/subprocess.h"
#include "runtime/base/unique_fd.h"
#include "runtime/cgroup/cgroup_path.h"

namespace cgroup {

// Whether systemd is this machine's init (sd_booted(3)).
bool HostRunsSystemd();

class SystemdScope {
 public:
  // Returns when the scope runs. kFailedPrecondition with systemd's words where it refuses, as it
  // does when there is one of that name; kDeadlineExceeded after a minute.
  // `program`: systemd-run, but in tests.
  static base::Result<SystemdScope> Start(const ScopeUnit& unit,
                                          const std::string& program = "/usr/bin/systemd-run");

  SystemdScope(SystemdScope&&) = default;
  SystemdScope& operator=(SystemdScope&& other) noexcept {
    std::swap(placeholder_, other.placeholder_);
    std::swap(socket_, other.socket_);
    return *this;
  }
  ~SystemdScope();

 private:
  SystemdScope(base::Subprocess placeholder, base::UniqueFd socket)
      : placeholder_(std::move(placeholder)), socket_(std::move(socket)) {}

  base::Subprocess placeholder_;
  base::UniqueFd socket_;
};

// The scope's cpu.weight, 1 … 10000: systemd has to know of it, because it writes what it knows at
// each daemon-reload.
base::Result<void> SetScopeWeight(const ScopeUnit& unit, uint64_t weight);

// Ends a scope whose cgroup has gone. systemd would see the last process leave, but the kernel
// tells of that up to 10 ms later, and of a group that is removed by then not at all. Not an error
// if there is none. `program`: systemctl, but in tests.
base::Result<void> StopScope(const ScopeUnit& unit,
                             const std::string& program = "/usr/bin/systemctl");

}  // namespace cgroup
