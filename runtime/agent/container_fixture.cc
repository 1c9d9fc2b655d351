#include "runtime/agent/container_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/agent/mounts.h"
#include "runtime/agent/rootfs.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"

namespace agent {
namespace {

constexpr char kBusybox[] = "/usr/bin/busybox";

// A mount namespace whose root is ours. In a chroot, as that of a build, they differ, and
// pivot_root(2) then moves ours alone, in a container too: an exec, which joins the namespace,
// would come to the outer machine's root. The agent itself is never in a chroot.
base::Result<void> EnterOwnMounts() {
  if (unshare(CLONE_NEWNS) != 0) return base::ErrnoError("unshare(CLONE_NEWNS)");
  const base::UniqueFd own = TRY(base::Open("/", O_PATH | O_DIRECTORY));
  const base::UniqueFd mounts = TRY(base::Open("/proc/self/ns/mnt", O_RDONLY));
  // To the root of a namespace in which we are: setns(2), "CLONE_NEWNS".
  if (setns(mounts.get(), CLONE_NEWNS) != 0) return base::ErrnoError("setns");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return base::ErrnoError("mount propagation");
  }
  struct statx ours {
  }, outer{};
  constexpr unsigned int kWanted = STATX_INO | STATX_MNT_ID;
  if (statx(own.get(), "", AT_EMPTY_PATH, kWanted, &ours) != 0 ||
      statx(AT_FDCWD, "/", 0, kWanted, &outer) != 0) {
    return base::ErrnoError("statx");
  }
  if (ours.stx_mnt_id == outer.stx_mnt_id && ours.stx_ino == outer.stx_ino) return base::Ok();
  const base::UniqueFd tree = TRY(CloneTree(own, true));
  TRY(Attach(tree, own));
  return EnterRootfs(tree);
}

// The mount namespace of the test program, once. Empty: it is ready.
std::string Isolate() {
  static const std::string problem = [] {
    if (geteuid() != 0) return std::string("not root");
    const base::Result<void> entered = EnterOwnMounts();
    if (!entered) return "no mounts of our own: " + entered.error().Message();
    if (access(kBusybox, X_OK) != 0) return std::string("busybox-static is not installed");
    signal(SIGPIPE, SIG_IGN);
    return std::string();
  }();
  return problem;
}

void Link(const std::string& root, const char* applet) {
  ASSERT_EQ(symlink("busybox", (root + "/bin/" + applet).c_str()), 0);
}

}  // namespace

void HostStream::Read() {
  char buffer[16384];
  while (fd_ && !ended_) {
    const ssize_t size = recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (size <= 0) return;
    decoder_.Push({buffer, static_cast<size_t>(size)});
    while (true) {
      auto frame = decoder_.Next();
      ASSERT_TRUE(frame) << frame.error().Message();
      if (!*frame) break;
      if ((*frame)->eof) {
        ended_ = true;
      } else {
        text_ += (*frame)->bytes;
      }
    }
  }
}

void HostStream::Send(const std::string& bytes) {
  ASSERT_TRUE(base::WriteAll(fd_, stream::Encode(bytes)));
}

void HostStream::SendEof() { ASSERT_TRUE(base::WriteAll(fd_, stream::EncodeEof())); }

void ContainerTest::SetUp() {
  const std::string problem = Isolate();
  if (!problem.empty()) GTEST_SKIP() << problem;
  char name[] = "/tmp/agent-test.XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  directory_ = name;
  cgroup_name_ = std::string(name).substr(5);
  ASSERT_EQ(mount("tmpfs", name, "tmpfs", 0, nullptr), 0);
  ASSERT_TRUE(base::MakeDirectories(directory_ + "/cgroup"));
  if (mount("cgroup2", (directory_ + "/cgroup").c_str(), "cgroup2", 0, nullptr) != 0) {
    GTEST_SKIP() << "no cgroup v2 hierarchy";
  }
  ASSERT_TRUE(base::MakeDirectories(root() + "/bin"));
  ASSERT_TRUE(base::MakeDirectories(root() + "/etc"));
  const auto busybox = base::ReadFile(kBusybox, 8 << 20);
  ASSERT_TRUE(busybox);
  ASSERT_TRUE(base::WriteFileAtomic(root() + "/bin/busybox", *busybox, 0755));
  for (const char* applet : {"sh", "cat", "echo", "ls", "id", "sleep", "mkdir", "stat", "hostname",
                             "grep", "tty", "head", "yes", "touch", "readlink", "ip", "stty"}) {
    Link(root(), applet);
  }
  ASSERT_TRUE(base::WriteFileAtomic(root() + "/etc/passwd",
                                    "root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n"));
  auto loop = base::EventLoop::Create();
  ASSERT_TRUE(loop);
  loop_ = std::move(*loop);
  auto reaper = Reaper::Create(*loop_);
  ASSERT_TRUE(reaper);
  reaper_ = std::move(*reaper);
  environment_.reset(new Environment{
      *loop_, *reaper_, cgroup_parent(),
      [this](const ProcessId& process, StreamKind kind) -> base::Result<base::UniqueFd> {
        auto [ours, theirs] = TRY(base::SocketPair(SOCK_STREAM));
        auto& streams = process.exec_id.empty() ? streams_ : exec_streams_[process.exec_id];
        streams[kind] = std::make_unique<HostStream>(std::move(ours));
        return std::move(theirs);
      },
      directory_ + "/network-modules"});
}

void ContainerTest::TearDown() {
  if (directory_.empty()) return;
  if (container_) {
    static_cast<void>(container_->Signal("", SIGKILL, true));
    static_cast<void>(WaitForExit());
    static_cast<void>(Delete());
  }
  if (!cgroup_name_.empty()) rmdir(cgroup_parent().c_str());
  umount2((directory_ + "/cgroup").c_str(), MNT_DETACH);
  umount2(directory_.c_str(), MNT_DETACH);
  rmdir(directory_.c_str());
}

oci::Spec ContainerTest::ShellSpec(const std::string& script) const {
  oci::Spec spec;
  spec.oci_version = "1.2.0";
  spec.root = oci::Root{root(), false};
  spec.hostname = "inside";
  oci::Process process;
  process.args = {"sh", "-c", script};
  process.env = {"PATH=/bin"};
  process.cwd = "/";
  process.no_new_privileges = true;
  process.capabilities =
      oci::Capabilities{{"CAP_KILL", "CAP_CHOWN"}, {"CAP_KILL"}, {}, {"CAP_KILL"}, {}};
  spec.process = process;
  spec.mounts = {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}, {}, {}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
       {},
       {}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777"}, {}, {}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}, {}, {}},
      {"/run", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755"}, {}, {}},
  };
  for (const char* type : {"pid", "ipc", "uts", "mount", "network"}) {
    spec.linux_config.namespaces.push_back({type, ""});
  }
  // Not every machine that builds lets us load device programs.
  spec.linux_config.resources.devices = {{true, "a", {}, {}, "rwm"}};
  spec.linux_config.masked_paths = {"/proc/kcore", "/proc/acpi", "/proc/not-there"};
  spec.linux_config.readonly_paths = {"/proc/sys", "/proc/bus"};
  return spec;
}

void ContainerTest::Spin(const std::function<bool()>& until) {
  // Not a limit on speed: only so that a lost event fails this test and not the whole run.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!until()) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "nothing happened for a minute";
    ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(20)));
    for (const auto& [kind, stream] : streams_) stream->Read();
    for (const auto& [exec_id, streams] : exec_streams_) {
      for (const auto& [kind, stream] : streams) stream->Read();
    }
  }
}

std::optional<base::Error> ContainerTest::Create(const oci::Spec& spec, bool open_stdin) {
  std::optional<base::Result<void>> result;
  auto made = Container::Create(*environment_, "c1", {open_stdin, true, true}, spec,
                                [&](base::Result<void> created) { result = std::move(created); });
  if (!made) return std::move(made.error());
  container_ = std::move(*made);
  Spin([&] { return result.has_value(); });
  if (!result) return base::MakeError(base::Code::kDeadlineExceeded, "no answer");
  if (*result) return std::nullopt;
  container_.reset();
  return std::move(result->error());
}

std::optional<base::Error> ContainerTest::Await(
    const std::function<void(Container::DoneCallback)>& call) {
  std::optional<base::Result<void>> result;
  call([&](base::Result<void> done) { result = std::move(done); });
  Spin([&] { return result.has_value(); });
  if (!result) return base::MakeError(base::Code::kDeadlineExceeded, "no answer");
  if (*result) return std::nullopt;
  return std::move(result->error());
}

std::optional<base::Error> ContainerTest::Start(const std::string& exec_id) {
  return Await([&](const auto& done) { container_->Start(exec_id, done); });
}

std::optional<base::Error> ContainerTest::Exec(const std::string& exec_id,
                                               const oci::Process& process, bool open_stdin) {
  return Await([&](const auto& done) {
    container_->Exec(exec_id, {open_stdin, true, true}, process, done);
  });
}

oci::Process ContainerTest::ShellProcess(const std::string& script) const {
  return *ShellSpec(script).process;
}

uint32_t ContainerTest::WaitForExit(const std::string& exec_id) {
  std::optional<uint32_t> status;
  container_->Wait(
      exec_id, [&](base::Result<uint32_t> exit_status) { status = exit_status.value_or(0xfffe); });
  Spin([&] { return status.has_value(); });
  return status.value_or(0xffff);
}

std::optional<base::Error> ContainerTest::Delete(const std::string& exec_id) {
  std::optional<base::Error> error =
      Await([&](const auto& done) { container_->Delete(exec_id, done); });
  if (!error && exec_id.empty()) container_.reset();
  return error;
}

std::string ContainerTest::ExecOutput(const std::string& exec_id, StreamKind kind) {
  HostStream& stream = *exec_streams_.at(exec_id).at(kind);
  Spin([&] { return stream.ended(); });
  return stream.text();
}

void ContainerTest::ReadToEnd(StreamKind kind) {
  HostStream& stream = *streams_.at(kind);
  Spin([&] { return stream.ended(); });
}

RunResult ContainerTest::Run(const oci::Spec& spec) {
  RunResult result;
  result.error = Create(spec);
  if (result.error) return result;
  result.error = Start();
  result.status = WaitForExit();
  ReadToEnd(StreamKind::kStdout);
  result.out = streams_.at(StreamKind::kStdout)->text();
  if (!spec.process->terminal) {
    ReadToEnd(StreamKind::kStderr);
    result.err = streams_.at(StreamKind::kStderr)->text();
  }
  const std::optional<base::Error> deleted = Delete();
  if (deleted) ADD_FAILURE() << deleted->Message();
  return result;
}

}  // namespace agent
