// Every call of containerd's Task service by a real gRPC client over a unix socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "agent-proto/grpc/server.h"
#include "agent-proto/grpc/testing_client.h"
#include "agent-proto/proto/containerd/task.pb.h"
#include "runtime/base/socket.h"
#include "runtime/shim/fake_pod.h"
#include "runtime/shim/task_service.h"

namespace shim {
namespace {

using base::Code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Topics : public EventSink {
 public:
  void Publish(std::string topic, std::string, std::string) override {
    topics.push_back(std::move(topic));
  }
  std::vector<std::string> topics;
};

// The parameter: the service's name.
class GrpcCallsTest : public ::testing::TestWithParam<const char*> {
 protected:
  using Pending = std::shared_ptr<grpc_transport::TestingClient::Call>;

  void SetUp() override {
    char directory[] = "/tmp/grpc_calls_test.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    service_ = std::make_unique<TaskService>(pod_, sink_, MetricsVersion::kV2,
                                             [this](std::function<void()> freed) {
                                               ++shutdowns_;
                                               if (freed) freed();
                                             });
    service_->RegisterIn(table_);
    auto server = grpc_transport::Server::Create(*loop_, table_);
    ASSERT_TRUE(server);
    server_ = std::move(*server);
    auto listener = base::ListenUnix(directory_ + "/socket", SOCK_STREAM | SOCK_NONBLOCK);
    ASSERT_TRUE(listener);
    ASSERT_TRUE(server_->Listen(std::move(*listener)));
    client_ = std::make_unique<grpc_transport::TestingClient>(directory_ + "/socket");
  }
  void TearDown() override {
    client_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Turn() {
    ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(5)));
    client_->Poll();
  }
  template <class Request>
  Pending Begin(const char* method, const Request& request) {
    return client_->Begin(std::string("/") + GetParam() + "/" + method,
                          request.SerializeAsString());
  }
  template <class Response, class Request>
  base::Result<Response> Call(const char* method, const Request& request) {
    const Pending call = Begin(method, request);
    while (!call->done) Turn();
    const std::string bytes = TRY(grpc_transport::TestingClient::Outcome(*call));
    Response response;
    EXPECT_TRUE(response.ParseFromString(bytes)) << method;
    return response;
  }
  template <class Request>
  Code CodeOf(const char* method, const Request& request) {
    const auto answer = Call<containerd::Empty>(method, request);
    return answer ? Code::kOk : answer.error().code();
  }
  template <class Request>
  static Request For(const std::string& id, const std::string& exec_id = "") {
    Request request;
    request.set_id(id);
    if constexpr (requires { request.set_exec_id(exec_id); }) request.set_exec_id(exec_id);
    return request;
  }
  void MakeRunning() {
    auto create = For<task::CreateTaskRequest>("c");
    create.set_bundle("/bundle");
    create.set_stdout("/out");
    ASSERT_EQ(Call<task::CreateTaskResponse>("Create", create)->pid(), 100u);
    ASSERT_EQ(Call<task::StartResponse>("Start", For<task::StartRequest>("c"))->pid(), 100u);
  }

  std::string directory_;
  FakePod pod_;
  Topics sink_;
  std::unique_ptr<base::EventLoop> loop_;
  ttrpc::ServiceTable table_;
  std::unique_ptr<TaskService> service_;
  std::unique_ptr<grpc_transport::Server> server_;
  std::unique_ptr<grpc_transport::TestingClient> client_;
  int shutdowns_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Versions, GrpcCallsTest,
                         ::testing::Values("containerd.task.v2.Task", "containerd.task.v3.Task"),
                         [](const auto& version) { return version.index == 0 ? "v2" : "v3"; });

TEST_P(GrpcCallsTest, AContainersLife) {
  MakeRunning();
  const auto connected = Call<task::ConnectResponse>("Connect", For<task::ConnectRequest>("c"));
  ASSERT_TRUE(connected);
  EXPECT_EQ(connected->shim_pid(), static_cast<uint32_t>(getpid()));
  EXPECT_EQ(connected->task_pid(), 100u);
  const Pending wait = Begin("Wait", For<task::WaitRequest>("c"));
  const auto state = Call<task::StateResponse>("State", For<task::StateRequest>("c"));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->status(), task::STATUS_RUNNING);
  EXPECT_EQ(state->stdout(), "/out");
  EXPECT_EQ(Call<task::PidsResponse>("Pids", For<task::PidsRequest>("c"))->processes_size(), 3);
  EXPECT_EQ(Call<task::StatsResponse>("Stats", For<task::StatsRequest>("c"))->stats().type_url(),
            "io.containerd.cgroups.v2.Metrics");
  EXPECT_EQ(CodeOf("Pause", For<task::PauseRequest>("c")), Code::kOk);
  EXPECT_EQ(CodeOf("Pause", For<task::PauseRequest>("c")), Code::kFailedPrecondition);
  EXPECT_EQ(CodeOf("Resume", For<task::ResumeRequest>("c")), Code::kOk);
  auto update = For<task::UpdateTaskRequest>("c");
  update.mutable_resources()->set_value(R"({"memory":{"limit":1}})");
  EXPECT_EQ(CodeOf("Update", update), Code::kOk);
  EXPECT_THAT(pod_.updates, ElementsAre(R"({"memory":{"limit":1}})"));
  auto resize = For<task::ResizePtyRequest>("c");
  resize.set_width(80);
  resize.set_height(24);
  EXPECT_EQ(CodeOf("ResizePty", resize), Code::kOk);
  EXPECT_THAT(pod_.sizes, ElementsAre(std::pair(80u, 24u)));
  auto close = For<task::CloseIORequest>("c");
  close.set_stdin(true);
  EXPECT_EQ(CodeOf("CloseIO", close), Code::kOk);
  EXPECT_EQ(pod_.stdin_closed, 1);
  auto kill = For<task::KillRequest>("c");
  kill.set_signal(9);
  kill.set_all(true);
  EXPECT_EQ(CodeOf("Kill", kill), Code::kOk);
  EXPECT_THAT(pod_.signals, ElementsAre(std::pair(9u, true)));
  EXPECT_EQ(CodeOf("Delete", For<task::DeleteRequest>("c")), Code::kFailedPrecondition);
  EXPECT_FALSE(wait->done);
  service_->OnPodEvent(pod_.End("c", 137));
  while (!wait->done) Turn();
  task::WaitResponse exit;
  ASSERT_TRUE(exit.ParseFromString(grpc_transport::TestingClient::Outcome(*wait).value_or("?")));
  EXPECT_EQ(exit.exit_status(), 137u);
  EXPECT_EQ(exit.exited_at().seconds(), 1000);
  const auto deleted = Call<task::DeleteResponse>("Delete", For<task::DeleteRequest>("c"));
  ASSERT_TRUE(deleted);
  EXPECT_EQ(deleted->exit_status(), 137u);
  EXPECT_EQ(shutdowns_, 0);
  EXPECT_EQ(CodeOf("Shutdown", For<task::ShutdownRequest>("c")), Code::kOk);
  EXPECT_EQ(shutdowns_, 1);
  EXPECT_THAT(sink_.topics, ElementsAre("/tasks/create", "/tasks/start", "/tasks/paused",
                                        "/tasks/resumed", "/tasks/exit", "/tasks/delete"));
}

TEST_P(GrpcCallsTest, AnExecsLife) {
  MakeRunning();
  auto exec = For<task::ExecProcessRequest>("c", "e");
  exec.mutable_spec()->set_value("{}");
  EXPECT_EQ(CodeOf("Exec", exec), Code::kOk);
  EXPECT_EQ(CodeOf("Exec", exec), Code::kAlreadyExists);
  EXPECT_EQ(Call<task::StateResponse>("State", For<task::StateRequest>("c", "e"))->status(),
            task::STATUS_CREATED);
  EXPECT_EQ(CodeOf("Start", For<task::StartRequest>("c", "e")), Code::kOk);
  service_->OnPodEvent(pod_.End("c", 3, "e"));
  EXPECT_EQ(Call<task::WaitResponse>("Wait", For<task::WaitRequest>("c", "e"))->exit_status(), 3u);
  EXPECT_EQ(CodeOf("Delete", For<task::DeleteRequest>("c", "e")), Code::kOk);
}

TEST_P(GrpcCallsTest, AnUnknownContainerIsNotFoundByEveryCall) {
  EXPECT_EQ(CodeOf("Start", For<task::StartRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Exec", For<task::ExecProcessRequest>("x", "e")), Code::kNotFound);
  EXPECT_EQ(CodeOf("State", For<task::StateRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Wait", For<task::WaitRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Kill", For<task::KillRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Pids", For<task::PidsRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Stats", For<task::StatsRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Pause", For<task::PauseRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Resume", For<task::ResumeRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Update", For<task::UpdateTaskRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("ResizePty", For<task::ResizePtyRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Checkpoint", For<task::CheckpointTaskRequest>("x")), Code::kNotFound);
  EXPECT_EQ(CodeOf("Delete", For<task::DeleteRequest>("x")), Code::kNotFound);
  auto close = For<task::CloseIORequest>("x");
  close.set_stdin(true);
  EXPECT_EQ(CodeOf("CloseIO", close), Code::kNotFound);
  EXPECT_EQ(CodeOf("Connect", For<task::ConnectRequest>("x")), Code::kOk);
}

TEST_P(GrpcCallsTest, ErrorsCarryTheirWords) {
  pod_.create_error = "exec: \"nothing\": executable file not found in $PATH";
  auto create = For<task::CreateTaskRequest>("c");
  create.set_bundle("/bundle");
  const auto failed = Call<task::CreateTaskResponse>("Create", create);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kNotFound);
  EXPECT_THAT(failed.error().Message(), HasSubstr("executable file not found in $PATH"));
  EXPECT_EQ(CodeOf("Create", For<task::CreateTaskRequest>("../x")), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf("Migrate", create), Code::kUnimplemented);
  const Pending garbage = client_->Begin(std::string("/") + GetParam() + "/State", "\xff\xff");
  while (!garbage->done) Turn();
  EXPECT_EQ(garbage->status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(garbage->status.error_message(), HasSubstr("State"));
}

TEST_P(GrpcCallsTest, CheckpointSaysWhyNot) {
  MakeRunning();
  const auto answer = Call<containerd::Empty>("Checkpoint", For<task::CheckpointTaskRequest>("c"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kUnimplemented);
  EXPECT_THAT(answer.error().Message(), HasSubstr("cannot checkpoint"));
}

TEST_P(GrpcCallsTest, WaitsThatAreCancelledAreForgotten) {
  MakeRunning();
  constexpr size_t kWaits = 500;
  std::vector<Pending> waits;
  for (size_t i = 0; i < kWaits; ++i) waits.push_back(Begin("Wait", For<task::WaitRequest>("c")));
  const Pending patient = Begin("Wait", For<task::WaitRequest>("c"));
  while (pod_.waiters.size() < kWaits + 1) Turn();
  for (const Pending& wait : waits) wait->context.TryCancel();
  while (server_->open_calls() > 1) Turn();
  size_t alive = 0;
  for (const auto& [caller, done] : pod_.waiters) alive += caller.expired() ? 0 : 1;
  EXPECT_EQ(alive, 1u);
  service_->OnPodEvent(pod_.End("c", 4));
  while (!patient->done) Turn();
  EXPECT_TRUE(patient->status.ok());
}

TEST_P(GrpcCallsTest, AHugeRequestIsRefusedAndTheNextOneIsNot) {
  MakeRunning();
  auto exec = For<task::ExecProcessRequest>("c", "e");
  exec.mutable_spec()->set_value(std::string(ttrpc::kMaxDataBytes, 'x'));
  EXPECT_EQ(CodeOf("Exec", exec), Code::kResourceExhausted);
  EXPECT_THAT(pod_.execs, ElementsAre());
  EXPECT_EQ(CodeOf("State", For<task::StateRequest>("c")), Code::kOk);
}

}  // namespace
}  // namespace shim
