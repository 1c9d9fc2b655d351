// The file server of a pod: finds virtiofsd, starts it on the share directory, and gives the
// connected vhost-user socket for the vmm.
//
// Thread rule: reactor-bound. Ownership: destroying it kills the process and reaps it. It also ends
// by itself when the vhost-user connection closes, hence with the vmm.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/subprocess.h"
#include "runtime/base/unique_fd.h"
#include "runtime/pod/line_reader.h"

namespace pod {

// The Rust daemon (virtiofsd 1.x) and QEMU's C one (up to 7.2) take other arguments.
enum class VirtiofsdFlavour { kRust, kC };

struct VirtiofsdProgram {
  std::string path;
  VirtiofsdFlavour flavour = VirtiofsdFlavour::kRust;
};

// `configured`, or if that is empty the first of the usual places. kNotFound says where was looked.
base::Result<VirtiofsdProgram> FindVirtiofsd(const std::string& configured);

// argv for a daemon that serves `directory` on the listening socket `listen_fd`.
std::vector<std::string> VirtiofsdArguments(const VirtiofsdProgram& program,
                                            const std::string& directory, int listen_fd);

class Virtiofsd {
 public:
  // `state_directory` holds the socket for a moment; `on_end` is called once if the daemon ends by
  // itself, with a clause for people, when it has been reaped.
  static base::Result<std::unique_ptr<Virtiofsd>> Start(base::EventLoop& loop,
                                                        const VirtiofsdProgram& program,
                                                        const std::string& directory,
                                                        const std::string& state_directory,
                                                        std::function<void(std::string)> on_end);
  ~Virtiofsd();
  Virtiofsd(const Virtiofsd&) = delete;
  Virtiofsd& operator=(const Virtiofsd&) = delete;

  // For the vmm, once.
  base::UniqueFd TakeConnection() { return std::move(connection_); }
  pid_t pid() const { return process_.pid(); }
  base::BorrowedFd pidfd() const { return process_.pidfd(); }

 private:
  explicit Virtiofsd(std::function<void(std::string)> on_end) : on_end_(std::move(on_end)) {}
  void OnProcessEnd();

  std::function<void(std::string)> on_end_;
  base::Subprocess process_;
  bool reaped_ = false;
  base::UniqueFd connection_;
  std::unique_ptr<LineReader> log_;
  base::Watch pidfd_watch_;
};

}  // namespace pod
