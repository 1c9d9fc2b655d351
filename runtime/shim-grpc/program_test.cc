// The built programs as containerd runs them, where the configuration asks for gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "agent-proto/grpc/testing_client.h"
#include "agent-proto/proto/containerd/options.pb.h"
#include "agent-proto/proto/containerd/task.pb.h"
#include "agent-proto/ttrpc/client.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"
#include "runtime/shim/address.h"

namespace shim {
namespace {

namespace fs = std::filesystem;
using config::Transport;
using ::testing::HasSubstr;

struct Output {
  int status = -1;
  std::string text;  // both streams
};

class GrpcProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* program = getenv("SHIM_PROGRAM");
    const char* grpc_program = getenv("SHIM_GRPC_PROGRAM");
    if (program == nullptr || grpc_program == nullptr) {
      GTEST_SKIP() << "SHIM_PROGRAM or SHIM_GRPC_PROGRAM is not set";
    }
    if (geteuid() != 0) GTEST_SKIP() << "needs root: the sockets lie in " << kSocketDirectory;
    program_ = program;
    grpc_program_ = grpc_program;
    char directory[] = "/tmp/shim_grpc_program_test.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    Configure("grpc", grpc_program_);
    ContainerdIs("1.7.24~ds1");
  }
  void TearDown() override {
    for (const pid_t pid : {DaemonPid("a"), TtrpcDaemonPid("a")}) {
      if (pid > 0) kill(pid, SIGKILL);
    }
    for (const auto transport : {Transport::kTtrpc, Transport::kGrpc}) {
      unlink(Socket("a", transport).c_str());
    }
    if (!directory_.empty()) fs::remove_all(directory_);
  }

  void Write(const std::string& name, const std::string& text) {
    const auto file = base::Open(directory_ + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ASSERT_TRUE(file);
    ASSERT_TRUE(base::WriteAll(*file, text));
  }
  void Configure(const std::string& transport, const std::string& program) {
    Write("config.toml",
          "[shim]\ntransport = \"" + transport + "\"\n[paths]\nshim_grpc = \"" + program + "\"\n");
  }
  // `start` asks it for its version and nothing else.
  void ContainerdIs(const std::string& version) {
    Write("containerd",
          "#!/bin/sh\necho containerd github.com/containerd/containerd " + version + "\n");
  }
  std::string Bundle(const std::string& id) const { return directory_ + "/" + id; }
  std::string Socket(const std::string& key, Transport transport) const {
    return SocketPath(directory_ + "/containerd.sock", "ns", SocketKey(transport, key));
  }
  std::string GrpcReply(const std::string& key) const {
    return ToText({Transport::kGrpc, Socket(key, Transport::kGrpc)});
  }

  Output Run(const std::string& id, const std::string& verb) {
    fs::create_directories(Bundle(id) + "/rootfs");
    EXPECT_TRUE(base::WriteFileAtomic(Bundle(id) + "/config.json", "{}"));
    containerd::options::RuntimeOptions options;
    options.set_config_path(directory_ + "/config.toml");
    containerd::Any any;
    any.set_type_url("runtimeoptions.v1.Options");
    any.set_value(options.SerializeAsString());
    Write("stdin", verb == "start" ? any.SerializeAsString() : "");
    const auto in = base::Open(directory_ + "/stdin", O_RDONLY);
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const base::UniqueFd out(ends[0]);
    base::UniqueFd write_end(ends[1]);
    base::SubprocessOptions spawn;
    spawn.program = program_;
    spawn.argv = {program_,
                  "-namespace",
                  "ns",
                  "-address",
                  directory_ + "/containerd.sock",
                  "-publish-binary",
                  directory_ + "/containerd",
                  "-id",
                  id,
                  "-bundle",
                  Bundle(id),
                  verb};
    spawn.cwd = Bundle(id);
    spawn.fds = {{*in, 0}, {write_end, 1}, {write_end, 2}};
    auto child = base::Subprocess::Spawn(spawn);
    EXPECT_TRUE(child);
    write_end.Reset();
    Output output;
    output.text = base::ReadAll(out, 1 << 20).value_or("?");
    output.status = base::ExitCode(child->Wait().value_or(-1));
    return output;
  }
  base::Result<std::string> Call(const std::string& key, const std::string& method) {
    grpc_transport::TestingClient client(Socket(key, Transport::kGrpc));
    const auto call = client.Begin("/containerd.task.v3.Task/" + method, "");
    while (!call->done) client.Poll(std::chrono::milliseconds(100));
    return grpc_transport::TestingClient::Outcome(*call);
  }
  pid_t DaemonPid(const std::string& key) {
    if (!fs::exists(Socket(key, Transport::kGrpc))) return -1;
    containerd::task::ConnectResponse response;
    const auto answer = Call(key, "Connect");
    if (!answer || !response.ParseFromString(*answer)) return -1;
    return static_cast<pid_t>(response.shim_pid());
  }
  pid_t TtrpcDaemonPid(const std::string& key) {
    const auto loop = base::EventLoop::Create();
    auto socket = base::ConnectUnix(Socket(key, Transport::kTtrpc), SOCK_STREAM);
    if (!loop || !socket) return -1;
    const auto client = ttrpc::Client::Create(**loop, std::move(*socket), {});
    if (!client) return -1;
    std::optional<pid_t> pid;
    (*client)->Call<containerd::task::ConnectResponse>(
        "containerd.task.v2.Task", "Connect", containerd::task::ConnectRequest(), {},
        [&](const base::Result<containerd::task::ConnectResponse>& answer) {
          pid = answer ? static_cast<pid_t>(answer->shim_pid()) : -1;
        });
    while (!pid && (*loop)->RunOnce(std::chrono::milliseconds(100))) {
    }
    return pid.value_or(-1);
  }
  static void AwaitEnd(pid_t pid) {
    while (kill(pid, 0) == 0) {
      const auto status = base::ReadFile("/proc/" + std::to_string(pid) + "/stat");
      if (!status || status->find(") Z ") != std::string::npos) return;
      poll(nullptr, 0, 5);
    }
  }

  std::string program_, grpc_program_, directory_;
};

TEST_F(GrpcProgramTest, StartAnswersWithAGrpcDaemon) {
  const Output started = Run("a", "start");
  EXPECT_EQ(started.status, 0);
  EXPECT_EQ(started.text, GrpcReply("a"));
  EXPECT_EQ(base::ReadFile(Bundle("a") + "/address").value_or(""), started.text);
  const pid_t pid = DaemonPid("a");
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(fs::equivalent("/proc/" + std::to_string(pid) + "/exe", grpc_program_));
  // Again, as for another container of the pod: the same daemon, whatever is configured by now.
  Configure("ttrpc", grpc_program_);
  EXPECT_EQ(Run("a", "start").text, started.text);
  EXPECT_EQ(DaemonPid("a"), pid);
}

TEST_F(GrpcProgramTest, AnotherContainerdGetsTtrpcAndTheLogSaysWhy) {
  ContainerdIs("2.1.9");
  fs::create_directories(Bundle("a"));
  Write("a/log", "");
  EXPECT_EQ(Run("a", "start").text, ToText({Transport::kTtrpc, Socket("a", Transport::kTtrpc)}));
  EXPECT_THAT(base::ReadFile(Bundle("a") + "/log").value_or(""),
              HasSubstr("containerd 2.1.9 does not keep such a connection"));
  EXPECT_GT(TtrpcDaemonPid("a"), 0);
}

TEST_F(GrpcProgramTest, AProgramThatIsNotThereIsAnError) {
  Configure("grpc", "/nonexistent/pinion-shim-grpc");
  const Output started = Run("a", "start");
  EXPECT_EQ(started.status, 1);
  EXPECT_THAT(started.text, HasSubstr("/nonexistent/pinion-shim-grpc"));
  EXPECT_FALSE(fs::exists(Socket("a", Transport::kGrpc)));
}

TEST_F(GrpcProgramTest, DeleteLeavesALivingDaemonAloneAndClearsUpAfterADeadOne) {
  Run("a", "start");
  const pid_t pid = DaemonPid("a");
  ASSERT_GT(pid, 0);
  EXPECT_EQ(Run("a", "delete").status, 0);
  EXPECT_EQ(DaemonPid("a"), pid);
  // A container of the pod whose own start never left an address.
  fs::remove(Bundle("a") + "/address");
  EXPECT_EQ(Run("a", "delete").status, 0);
  EXPECT_EQ(DaemonPid("a"), pid);
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  // Its first thread may end before those that hold the socket, too.
  while (base::ConnectUnix(Socket("a", Transport::kGrpc), SOCK_STREAM)) poll(nullptr, 0, 5);
  EXPECT_TRUE(fs::exists(Socket("a", Transport::kGrpc)));
  EXPECT_EQ(Run("a", "delete").status, 0);
  EXPECT_FALSE(fs::exists(Socket("a", Transport::kGrpc)));
}

TEST_F(GrpcProgramTest, ShutdownIsAnsweredAndEndsTheDaemon) {
  Run("a", "start");
  const pid_t pid = DaemonPid("a");
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(Call("a", "Shutdown"));
  EXPECT_FALSE(fs::exists(Socket("a", Transport::kGrpc)));
  AwaitEnd(pid);
}

TEST_F(GrpcProgramTest, SigtermEndsTheDaemonThoughAClientIsConnected) {
  Run("a", "start");
  const pid_t pid = DaemonPid("a");
  ASSERT_GT(pid, 0);
  grpc_transport::TestingClient client(Socket("a", Transport::kGrpc));
  const auto call = client.Begin("/containerd.task.v3.Task/Connect", "");
  while (!call->done) client.Poll(std::chrono::milliseconds(100));
  ASSERT_EQ(kill(pid, SIGTERM), 0);
  AwaitEnd(pid);
  EXPECT_FALSE(fs::exists(Socket("a", Transport::kGrpc)));
}

TEST_F(GrpcProgramTest, TheProgramAloneSaysWhoRunsIt) {
  base::SubprocessOptions spawn;
  spawn.program = grpc_program_;
  spawn.argv = {grpc_program_, "start"};
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd err(ends[0]);
  base::UniqueFd write_end(ends[1]);
  spawn.fds = {{write_end, 2}};
  auto child = base::Subprocess::Spawn(spawn);
  ASSERT_TRUE(child);
  write_end.Reset();
  EXPECT_THAT(base::ReadAll(err, 1 << 20).value_or(""),
              HasSubstr("containerd-shim-pinion-v2 runs it"));
  EXPECT_EQ(base::ExitCode(child->Wait().value_or(-1)), 1);
}

}  // namespace
}  // namespace shim
