#include "runtime/pod/virtiofsd.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/base/mapped_region.h"
#include "runtime/base/socket.h"

namespace pod {
namespace {

constexpr const char* kUsualPlaces[] = {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd",
                                        "/usr/lib/virtiofsd"};
constexpr int kListenFd = 3;

// Only the Rust daemon has an option of this name. Looking for it in the program costs a
// millisecond, running the program with --help much more.
base::Result<VirtiofsdFlavour> Probe(const std::string& path) {
  constexpr std::string_view kRustOption = "shared-dir";
  const base::UniqueFd fd = TRY(base::Open(path, O_RDONLY), "virtiofsd");
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return base::ErrnoError("fstat {}", path);
  if (!S_ISREG(status.st_mode) || status.st_size == 0 || access(path.c_str(), X_OK) != 0) {
    return base::MakeError(base::Code::kFailedPrecondition, "virtiofsd: {} is no program", path);
  }
  const base::MappedRegion map =
      TRY(base::MappedRegion::Map(fd, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE));
  return memmem(map.data(), map.size(), kRustOption.data(), kRustOption.size()) != nullptr
             ? VirtiofsdFlavour::kRust
             : VirtiofsdFlavour::kC;
}

// A listening socket and a connection to it. Its path is gone again when this returns: it goes
// through /proc/self/fd because sun_path takes 107 bytes and a pod's directory may need more.
base::Result<std::pair<base::UniqueFd, base::UniqueFd>> ListenAndConnect(
    const std::string& directory) {
  const base::UniqueFd fd = TRY(base::Open(directory, O_PATH | O_DIRECTORY));
  const std::string path = fmt::format("/proc/self/fd/{}/virtiofsd.sock", fd.get());
  if (unlinkat(fd.get(), "virtiofsd.sock", 0) != 0 && errno != ENOENT) {
    return base::ErrnoError("unlink {}/virtiofsd.sock", directory);
  }
  base::UniqueFd listener = TRY(base::ListenUnix(path, SOCK_STREAM), "in {}", directory);
  base::Result<base::UniqueFd> connection = base::ConnectUnix(path, SOCK_STREAM);
  unlinkat(fd.get(), "virtiofsd.sock", 0);
  if (!connection) return std::move(connection.error());
  return std::pair(std::move(listener), std::move(*connection));
}

}  // namespace

base::Result<VirtiofsdProgram> FindVirtiofsd(const std::string& configured) {
  // No TRY inside the braces: g++ 12 leaks the members made before one that returns.
  if (!configured.empty()) {
    const VirtiofsdFlavour flavour = TRY(Probe(configured));
    return VirtiofsdProgram{configured, flavour};
  }
  std::string looked;
  for (const char* place : kUsualPlaces) {
    if (access(place, F_OK) == 0) {
      const VirtiofsdFlavour flavour = TRY(Probe(place));
      return VirtiofsdProgram{place, flavour};
    }
    looked += looked.empty() ? place : std::string(", ") + place;
  }
  return base::MakeError(base::Code::kNotFound,
                         "no virtiofsd at {}: install the package virtiofsd (Debian 12: "
                         "qemu-system-common) or set paths.virtiofsd",
                         looked);
}

std::vector<std::string> VirtiofsdArguments(const VirtiofsdProgram& program,
                                            const std::string& directory, int listen_fd) {
  const std::string fd = "--fd=" + std::to_string(listen_fd);
  if (program.flavour == VirtiofsdFlavour::kC) {
    return {"virtiofsd", fd,
            "-o",        "source=" + directory,
            "-o",        "sandbox=namespace,xattr,announce_submounts,cache=auto",
            "-f"};
  }
  return {"virtiofsd", fd, "--shared-dir=" + directory, "--sandbox=namespace", "--seccomp=kill",
          // Handles would let a guest that guesses one leave the share (open_by_handle_at).
          "--inode-file-handles=never",
          // Without it two files of two file systems below the share may have one inode number.
          "--announce-submounts", "--xattr", "--cache=auto"};
}

base::Result<std::unique_ptr<Virtiofsd>> Virtiofsd::Start(base::EventLoop& loop,
                                                          const VirtiofsdProgram& program,
                                                          const std::string& directory,
                                                          const std::string& state_directory,
                                                          std::function<void(std::string)> on_end) {
  std::unique_ptr<Virtiofsd> daemon(new Virtiofsd(std::move(on_end)));
  auto [listener, connection] = TRY(ListenAndConnect(state_directory));
  Pipe log = TRY(MakePipe(/*nonblocking_writer=*/false));
  base::SubprocessOptions spawn;
  spawn.program = program.path;
  spawn.argv = VirtiofsdArguments(program, directory, kListenFd);
  // The C daemon wants a HOME and a PATH for nothing; an empty environment is fine for both.
  spawn.fds = {
      {listener, kListenFd}, {log.write_end, STDOUT_FILENO}, {log.write_end, STDERR_FILENO}};
  spawn.cwd = "/";
  spawn.new_session = true;
  daemon->process_ = TRY(base::Subprocess::Spawn(spawn));
  daemon->connection_ = std::move(connection);
  daemon->log_ = TRY(LogLinesOf(loop, std::move(log.read_end), "virtiofsd"));
  daemon->pidfd_watch_ = TRY(loop.WatchFd(daemon->process_.pidfd(), EPOLLIN,
                                          [raw = daemon.get()](uint32_t) { raw->OnProcessEnd(); }));
  return daemon;
}

Virtiofsd::~Virtiofsd() {
  if (!process_.valid() || reaped_) return;
  static_cast<void>(process_.Signal(SIGKILL));
  static_cast<void>(process_.Wait());
}

void Virtiofsd::OnProcessEnd() {
  base::Result<std::optional<int>> status = process_.TryWait();
  if (status && !*status) return;
  reaped_ = true;
  pidfd_watch_.Cancel();
  log_->Drain();
  const auto on_end = std::move(on_end_);
  on_end(status ? fmt::format("virtiofsd ended with status {}", base::ExitCode(**status))
                : "virtiofsd is gone: " + status.error().Message());
}

}  // namespace pod
