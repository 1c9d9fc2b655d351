// Runs the built program as containerd does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "agent-proto/proto/containerd/options.pb.h"
#include "agent-proto/proto/containerd/task.pb.h"
#include "agent-proto/ttrpc/client.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"
#include "runtime/pod/bundle_record.h"
#include "runtime/pod/hooks.h"
#include "runtime/shim/address.h"

namespace shim {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Output {
  int status = -1;
  std::string out;  // both, where they were merged
  std::string err;
};

struct Pipe {
  base::UniqueFd read, write;
};

Pipe MakePipe() {
  int fds[2];
  CHECK(pipe2(fds, O_CLOEXEC) == 0);
  return {base::UniqueFd(fds[0]), base::UniqueFd(fds[1])};
}

class ProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* program = getenv("SHIM_PROGRAM");
    if (program == nullptr) GTEST_SKIP() << "SHIM_PROGRAM is not set";
    if (geteuid() != 0)
      GTEST_SKIP() << "needs root: the shim's sockets lie in " << kSocketDirectory;
    program_ = program;
    char directory[] = "/tmp/shim_program_test.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    address_ = directory_ + "/containerd.sock";
  }
  void TearDown() override {
    for (const std::string& id : ids_) {
      if (const pid_t pid = DaemonPid(id); pid > 0) kill(pid, SIGKILL);
      unlink(Socket(id).c_str());
    }
    if (!directory_.empty()) fs::remove_all(directory_);
  }

  std::string Bundle(const std::string& id) const { return directory_ + "/" + id; }
  std::string Socket(const std::string& key) const { return SocketPath(address_, "ns", key); }
  void MakeBundle(const std::string& id, const std::string& group = "") {
    ids_.push_back(id);
    fs::create_directories(Bundle(id) + "/rootfs");
    const std::string annotations =
        group.empty() ? "" : "\"io.kubernetes.cri.sandbox-id\":\"" + group + "\"";
    const auto file = base::Open(Bundle(id) + "/config.json", O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(file);
    ASSERT_TRUE(base::WriteAll(*file, "{\"annotations\":{" + annotations + "}}"));
  }

  base::Subprocess Spawn(const std::vector<std::string>& args, const std::string& cwd,
                         const Pipe& in, const Pipe& out, const Pipe& err) {
    base::SubprocessOptions options;
    options.program = program_;
    options.argv = {program_};
    options.argv.insert(options.argv.end(), args.begin(), args.end());
    options.cwd = cwd;
    options.fds = {{in.read, 0}, {out.write, 1}, {err.write, 2}};
    auto child = base::Subprocess::Spawn(options);
    EXPECT_TRUE(child);
    return child ? std::move(*child) : base::Subprocess();
  }
  // Everything until every writer has closed: what hangs containerd hangs here.
  Output Run(const std::vector<std::string>& args, const std::string& cwd,
             const std::string& input = "", bool merged = false) {
    Pipe in = MakePipe();
    Pipe out = MakePipe();
    Pipe err = MakePipe();
    EXPECT_TRUE(base::WriteAll(in.write, input));
    in.write.Reset();
    base::Subprocess child = Spawn(args, cwd, in, out, merged ? out : err);
    out.write.Reset();
    err.write.Reset();
    Output output;
    output.out = base::ReadAll(out.read, 1 << 20).value_or("?");
    output.err = base::ReadAll(err.read, 1 << 20).value_or("?");
    output.status = base::ExitCode(child.Wait().value_or(-1));
    return output;
  }
  std::vector<std::string> Args(const std::string& id, const std::string& verb) const {
    return {"-namespace", "ns",  "-address", address_, "-publish-binary",
            containerd_,  "-id", id,         verb};
  }
  Output Start(const std::string& id, const std::string& input = "") {
    return Run(Args(id, "start"), Bundle(id), input, true);
  }
  Output Delete(const std::string& id) {
    auto args = Args(id, "delete");
    args.insert(args.begin(), {"-bundle", Bundle(id)});
    return Run(args, Bundle(id));
  }
  bool Answers(const std::string& key) const {
    return base::ConnectUnix(Socket(key), SOCK_STREAM).has_value();
  }

  template <class Response, class Request>
  base::Result<Response> Call(const std::string& key, const char* method, const Request& request) {
    const std::unique_ptr<base::EventLoop> loop = TRY(base::EventLoop::Create());
    base::UniqueFd socket = TRY(base::ConnectUnix(Socket(key), SOCK_STREAM));
    const auto client = TRY(ttrpc::Client::Create(*loop, std::move(socket), {}));
    std::optional<base::Result<Response>> answer;
    client->Call<Response>(
        "containerd.task.v2.Task", method, request, {},
        [&](base::Result<Response> result) { answer.emplace(std::move(result)); });
    while (!answer) TRY(loop->RunOnce(std::chrono::milliseconds(100)));
    return std::move(*answer);
  }
  pid_t DaemonPid(const std::string& key) {
    containerd::task::ConnectRequest request;
    const auto answer = Call<containerd::task::ConnectResponse>(key, "Connect", request);
    return answer ? static_cast<pid_t>(answer->shim_pid()) : -1;
  }
  // Returns when the process has ended, whoever its parent is.
  static void AwaitEnd(pid_t pid) {
    while (kill(pid, 0) == 0) {
      const auto status = base::ReadFile("/proc/" + std::to_string(pid) + "/stat");
      if (!status || status->find(") Z ") != std::string::npos) return;
      poll(nullptr, 0, 5);
    }
  }

  std::string program_, directory_, address_;
  std::string containerd_ = "/bin/false";
  std::vector<std::string> ids_;
};

TEST_F(ProgramTest, StartPrintsThePlainAddressAndLetsGo) {
  MakeBundle("a");
  const Output started = Start("a");  // ends although the daemon lives
  EXPECT_EQ(started.status, 0);
  EXPECT_EQ(started.out, "unix://" + Socket("a"));
  EXPECT_EQ(base::ReadFile(Bundle("a") + "/address").value_or(""), started.out);
  const pid_t pid = DaemonPid("a");
  ASSERT_GT(pid, 0);
  for (const char* fd : {"0", "1", "2"}) {
    EXPECT_EQ(fs::read_symlink("/proc/" + std::to_string(pid) + "/fd/" + fd), "/dev/null");
  }
  struct stat info {};
  ASSERT_EQ(stat(Socket("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

// A sandbox's bundle has no config.json when `start` is called.
TEST_F(ProgramTest, ASandboxGetsTheVersionThatItsContainerdTakes) {
  ids_.push_back("a");
  fs::create_directories(Bundle("a"));
  containerd_ = directory_ + "/containerd";
  const std::string plain = "unix://" + Socket("a");
  for (const auto& [version, answer] : std::vector<std::pair<std::string, std::string>>{
           {"2.1.9", R"({"version":3,"address":")" + plain + R"(","protocol":"ttrpc"})"},
           {"1.7.24", plain}}) {
    const std::string script = "#!/bin/sh\necho containerd x " + version + "\n";
    ASSERT_TRUE(base::WriteFileAtomic(containerd_, script, 0700));
    EXPECT_EQ(Start("a").out, answer);
  }
  EXPECT_EQ(base::ReadFile(Bundle("a") + "/address").value_or(""), plain);
}

TEST_F(ProgramTest, StartAgainFindsTheDaemon) {
  MakeBundle("a");
  const Output first = Start("a");
  const pid_t pid = DaemonPid("a");
  EXPECT_EQ(Start("a").out, first.out);
  EXPECT_EQ(DaemonPid("a"), pid);
}

TEST_F(ProgramTest, ContainersOfAPodShareADaemon) {
  MakeBundle("pod");
  MakeBundle("app", "pod");
  const Output first = Start("pod");
  EXPECT_EQ(Start("app").out, first.out);
  EXPECT_EQ(base::ReadFile(Bundle("app") + "/address").value_or(""), first.out);
}

TEST_F(ProgramTest, StartsAtOnceAgreeOnOneDaemon) {
  std::vector<base::Subprocess> children;
  std::vector<Pipe> pipes;
  for (const char* id : {"pod", "a", "b", "c"}) {
    MakeBundle(id, "pod");
    Pipe in = MakePipe();
    in.write.Reset();
    pipes.push_back(MakePipe());
    children.push_back(Spawn(Args(id, "start"), Bundle(id), in, pipes.back(), pipes.back()));
    pipes.back().write.Reset();
  }
  for (size_t i = 0; i < children.size(); ++i) {
    EXPECT_EQ(base::ReadAll(pipes[i].read, 1 << 20).value_or(""), "unix://" + Socket("pod"));
    EXPECT_EQ(children[i].Wait().value_or(-1), 0);
  }
  EXPECT_TRUE(Answers("pod"));
}

// An Any can hold any bytes; protobuf would complain about them on stderr.
TEST_F(ProgramTest, OptionsOnStdinDoNotReachTheAddress) {
  MakeBundle("a");
  containerd::Any any;
  any.set_type_url("other.Options");
  any.set_value("\xff\xfe\xfd");
  EXPECT_EQ(Start("a", any.SerializeAsString()).out, "unix://" + Socket("a"));
}

TEST_F(ProgramTest, AShimCgroupThatIsNotThereLeavesNothing) {
  MakeBundle("a");
  containerd::options::RuncOptions options;
  options.set_shim_cgroup("/pinion-no-such-cgroup");
  containerd::Any any;
  any.set_type_url("containerd.runc.v1.Options");
  any.set_value(options.SerializeAsString());
  const Output started = Start("a", any.SerializeAsString());
  EXPECT_EQ(started.status, 1);
  EXPECT_THAT(started.out, HasSubstr("pinion-no-such-cgroup"));
  EXPECT_FALSE(fs::exists(Socket("a")));
}

TEST_F(ProgramTest, DeleteLeavesALivingShimAlone) {
  MakeBundle("a");
  Start("a");
  const pid_t pid = DaemonPid("a");
  const Output deleted = Delete("a");
  EXPECT_EQ(deleted.status, 0);
  containerd::task::DeleteResponse response;
  ASSERT_TRUE(response.ParseFromString(deleted.out));
  EXPECT_EQ(response.exit_status(), 137u);
  EXPECT_TRUE(response.has_exited_at());
  EXPECT_EQ(DaemonPid("a"), pid);
}

TEST_F(ProgramTest, DeleteClearsUpAfterADeadShimTwice) {
  MakeBundle("a");
  Start("a");
  const pid_t pid = DaemonPid("a");
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  AwaitEnd(pid);
  EXPECT_TRUE(fs::exists(Socket("a")));
  EXPECT_EQ(Delete("a").status, 0);
  EXPECT_FALSE(fs::exists(Socket("a")));
  EXPECT_EQ(Delete("a").status, 0);
}

// Of the container, not of the pod: the second `delete` finds no record of the pod any more.
TEST_F(ProgramTest, DeleteAnswersForItsContainer) {
  MakeBundle("pod");
  MakeBundle("app", "pod");
  Start("pod");
  Start("app");
  ASSERT_TRUE(pod::RecordInit(Bundle("pod"), 4321));
  ASSERT_TRUE(pod::RecordInit(Bundle("app"), 4322));
  ASSERT_TRUE(pod::RecordExit(Bundle("app"),
                              {.pid = 4322, .exit_status = 3, .exited_at = {1'700'000'000, 5}}));
  const pid_t pid = DaemonPid("pod");
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  AwaitEnd(pid);
  containerd::task::DeleteResponse of_pod, of_app;
  ASSERT_TRUE(of_pod.ParseFromString(Delete("pod").out));
  EXPECT_EQ(of_pod.pid(), 4321u);
  EXPECT_EQ(of_pod.exit_status(), 137u);
  EXPECT_GT(of_pod.exited_at().seconds(), 1'700'000'000);
  ASSERT_TRUE(of_app.ParseFromString(Delete("app").out));
  EXPECT_EQ(of_app.pid(), 4322u);
  EXPECT_EQ(of_app.exit_status(), 3u);
  EXPECT_EQ(of_app.exited_at().seconds(), 1'700'000'000);
  EXPECT_EQ(of_app.exited_at().nanos(), 5);
}

// Its own time is over: whatever hooks do, the answer does not wait for long, nor change.
TEST_F(ProgramTest, DeleteRunsThePoststopHooksThatAreOwedOnce) {
  MakeBundle("a");
  const std::string config =
      R"({"ociVersion": "1.2.0", "root": {"path": "rootfs"},
      "process": {"user": {"uid": 0, "gid": 0}, "args": ["x"], "cwd": "/"},
      "hooks": {"poststop": [
        {"path": "/bin/sh", "args": ["sh", "-c", "echo on stdout; echo ran >>ran"]},
        {"path": "/bin/sh", "args": ["sh", "-c", "exec /bin/sleep 1000"]}]}})";
  ASSERT_TRUE(base::WriteFileAtomic(Bundle("a") + "/config.json", config));
  EXPECT_EQ(Delete("a").status, 0);
  EXPECT_FALSE(fs::exists(Bundle("a") + "/ran")) << "no hook of creation was begun";
  ASSERT_TRUE(base::WriteFileAtomic(Bundle("a") + "/" + pod::kPoststopFile, ""));
  Start("a");
  EXPECT_EQ(Delete("a").status, 0);
  EXPECT_FALSE(fs::exists(Bundle("a") + "/ran")) << "the shim lives, and will run them";
  const pid_t pid = DaemonPid("a");
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  AwaitEnd(pid);
  for (int i = 0; i < 2; ++i) {
    const Output deleted = Delete("a");
    EXPECT_EQ(deleted.status, 0);
    containerd::task::DeleteResponse response;
    ASSERT_TRUE(response.ParseFromString(deleted.out));
    EXPECT_EQ(response.exit_status(), 137u);
    EXPECT_EQ(deleted.err.find("poststop") != std::string::npos, i == 0) << "once";
  }
  EXPECT_EQ(base::ReadFile(Bundle("a") + "/ran").value_or(""), "ran\n");
}

// A member of a pod that was never started itself: containerd wrote down where its shim is.
TEST_F(ProgramTest, DeleteLooksWhereContainerdKnowsTheShim) {
  MakeBundle("a");
  Start("a");
  const pid_t pid = DaemonPid("a");
  MakeBundle("b", "another");
  ASSERT_TRUE(base::WriteFileAtomic(Bundle("b") + "/bootstrap.json",
                                    ToVersion3Text({config::Transport::kTtrpc, Socket("a")})));
  EXPECT_EQ(Delete("b").status, 0);
  EXPECT_EQ(DaemonPid("a"), pid);
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  AwaitEnd(pid);
  EXPECT_EQ(Delete("b").status, 0);
  EXPECT_FALSE(fs::exists(Socket("a"))) << "that is where it looked";
}

TEST_F(ProgramTest, DeleteWithoutABundle) {
  const Output deleted = Run({"-namespace", "ns", "-address", address_, "-id", "gone", "-bundle",
                              "/nonexistent", "delete"},
                             directory_);
  EXPECT_EQ(deleted.status, 0) << deleted.err;
}

TEST_F(ProgramTest, StartReplacesADeadShim) {
  MakeBundle("a");
  const Output first = Start("a");
  const pid_t pid = DaemonPid("a");
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  AwaitEnd(pid);
  EXPECT_EQ(Start("a").out, first.out);
  EXPECT_NE(DaemonPid("a"), pid);
}

TEST_F(ProgramTest, ShutdownEndsTheDaemonAndItsSocket) {
  MakeBundle("a");
  Start("a");
  const pid_t pid = DaemonPid("a");
  containerd::task::ShutdownRequest request;
  EXPECT_TRUE(Call<containerd::Empty>("a", "Shutdown", request));
  EXPECT_FALSE(fs::exists(Socket("a")));  // gone before the answer
  AwaitEnd(pid);
}

TEST_F(ProgramTest, SigtermEndsTheDaemonAndItsSocket) {
  MakeBundle("a");
  Start("a");
  const pid_t pid = DaemonPid("a");
  ASSERT_EQ(kill(pid, SIGUSR1), 0);
  EXPECT_EQ(DaemonPid("a"), pid);
  ASSERT_EQ(kill(pid, SIGTERM), 0);
  AwaitEnd(pid);
  EXPECT_FALSE(fs::exists(Socket("a")));
}

TEST_F(ProgramTest, OomScoreIsOneMoreThanItsCallers) {
  MakeBundle("a");
  Start("a");
  const auto ours = base::ReadFile("/proc/self/oom_score_adj");
  const auto its = base::ReadFile("/proc/" + std::to_string(DaemonPid("a")) + "/oom_score_adj");
  ASSERT_TRUE(ours && its);
  EXPECT_EQ(atoi(its->c_str()), std::min(atoi(ours->c_str()) + 1, 1000));
}

TEST_F(ProgramTest, InfoIsARuntimeInfo) {
  const Output info = Run({"-info"}, "/");
  EXPECT_EQ(info.status, 0);
  containerd::options::RuntimeInfo parsed;
  ASSERT_TRUE(parsed.ParseFromString(info.out));
  EXPECT_EQ(parsed.name(), "io.containerd.pinion.v2");
  EXPECT_EQ(parsed.features().type_url(),
            "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
  EXPECT_THAT(parsed.features().value(), HasSubstr("\"rro\"")) << "CRI refuses them otherwise";
  EXPECT_THAT(Run({"-v"}, "/").out, StartsWith("containerd-shim-pinion-v2"));
  EXPECT_THAT(Run({"--help"}, "/").out, HasSubstr("Usage"));
}

TEST_F(ProgramTest, AMistakeIsASentence) {
  const Output output = Run(Args("../x", "start"), "/");
  EXPECT_EQ(output.status, 1);
  EXPECT_EQ(output.out, "");
  EXPECT_THAT(output.err, HasSubstr("../x"));
  EXPECT_EQ(Run({}, "/").status, 1);
}

}  // namespace
}  // namespace shim
