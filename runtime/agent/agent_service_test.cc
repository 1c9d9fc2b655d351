// The service as the host sees it: over ttrpc, on one connection.
#include "runtime/agent/agent_service.h"

#include <gmock/gmock.h>

#include "agent-proto/proto/agent.pb.h"
#include "agent-proto/ttrpc/testing_link.h"
#include "runtime/agent/container_fixture.h"

namespace agent {
namespace {

using testing::HasSubstr;

class AgentServiceTest : public ContainerTest {
 protected:
  void SetUp() override {
    ContainerTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    service_ = std::make_unique<AgentService>(
        *environment_,
        AgentService::Events{.on_hello = [this](const std::string& token) { token_ = token; },
                             .on_shutdown = [this] { shut_down_ = true; }});
    service_->RegisterWith(table_);
    auto link = ttrpc::TestingLink::Create(*loop_, table_);
    ASSERT_TRUE(link);
    link_ = std::move(*link);
  }
  void TearDown() override {
    link_.reset();
    service_.reset();
    ContainerTest::TearDown();
  }

  template <class Response, class Request>
  base::Result<Response> Call(const char* method, const Request& request) {
    const auto answer = link_->Begin<Response>("pinion.agent.v1.Agent", method, request);
    Spin([&] { return answer->has_value(); });
    if (!*answer) return base::MakeError(base::Code::kDeadlineExceeded, "no answer");
    return std::move(**answer);
  }
  base::Result<proto::CreateContainerResponse> CreateCall(const std::string& id,
                                                          const std::string& spec) {
    proto::CreateContainerRequest request;
    request.set_container_id(id);
    request.set_spec_json(spec);
    request.set_open_stdout(true);
    return Call<proto::CreateContainerResponse>("CreateContainer", request);
  }
  static proto::ProcessRequest Process(const std::string& id, const std::string& exec_id = "") {
    proto::ProcessRequest request;
    request.set_container_id(id);
    request.set_exec_id(exec_id);
    return request;
  }

  ttrpc::ServiceTable table_;
  std::unique_ptr<AgentService> service_;
  std::unique_ptr<ttrpc::TestingLink> link_;
  bool shut_down_ = false;
  std::string token_;
};

TEST_F(AgentServiceTest, WholeLifeOfAContainer) {
  const std::string spec = oci::Serialise(ShellSpec("echo hi; exit 9"));
  const auto created = CreateCall("c1", spec);
  ASSERT_TRUE(created) << created.error().Message();
  EXPECT_GT(created->guest_pid(), 1U);
  EXPECT_EQ(CreateCall("c1", spec).error().code(), base::Code::kAlreadyExists);
  const auto pids = Call<proto::ListPidsResponse>("ListPids", Process("c1"));
  ASSERT_TRUE(pids);
  EXPECT_THAT(pids->guest_pids(), testing::IsEmpty()) << "the init is known by its own name";
  ASSERT_TRUE(Call<proto::Empty>("StartProcess", Process("c1")));
  const auto ended = Call<proto::WaitProcessResponse>("WaitProcess", Process("c1"));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->exit_status(), 9U);
  ReadToEnd(StreamKind::kStdout);
  EXPECT_EQ(streams_.at(StreamKind::kStdout)->text(), "hi\n");
  ASSERT_TRUE(Call<proto::Empty>("DeleteProcess", Process("c1")));
  EXPECT_EQ(Call<proto::Empty>("DeleteProcess", Process("c1")).error().code(),
            base::Code::kNotFound);
}

TEST_F(AgentServiceTest, AFailedCreateFreesItsId) {
  oci::Spec spec = ShellSpec("");
  spec.process->args = {"nosuch"};
  EXPECT_EQ(CreateCall("c1", oci::Serialise(spec)).error().code(), base::Code::kNotFound);
  EXPECT_TRUE(CreateCall("c1", oci::Serialise(ShellSpec(""))));
  ASSERT_TRUE(Call<proto::Empty>("DeleteProcess", Process("c1")));
}

TEST_F(AgentServiceTest, BadRequestsSayWhatIsWrong) {
  const auto bad_json = CreateCall("c1", "{");
  EXPECT_EQ(bad_json.error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(bad_json.error().Message(), HasSubstr("container c1: spec_json"));
  EXPECT_EQ(CreateCall("../c1", oci::Serialise(ShellSpec(""))).error().code(),
            base::Code::kInvalidArgument);
  for (const char* method : {"StartProcess", "DeleteProcess"}) {
    const auto unknown = Call<proto::Empty>(method, Process("ghost"));
    EXPECT_EQ(unknown.error().code(), base::Code::kNotFound) << method;
    EXPECT_THAT(unknown.error().Message(), HasSubstr("ghost"));
  }
  proto::SignalProcessRequest signal;
  signal.set_container_id("ghost");
  signal.set_signal(9);
  EXPECT_EQ(Call<proto::Empty>("SignalProcess", signal).error().code(), base::Code::kNotFound);
}

TEST_F(AgentServiceTest, SignalsOutOfRangeAndUnknownExecs) {
  ASSERT_TRUE(CreateCall("c1", oci::Serialise(ShellSpec(""))));
  EXPECT_EQ(Call<proto::Empty>("StartProcess", Process("c1", "e1")).error().code(),
            base::Code::kNotFound);
  proto::SignalProcessRequest signal;
  signal.set_container_id("c1");
  signal.set_signal(0xffffffff);
  EXPECT_EQ(Call<proto::Empty>("SignalProcess", signal).error().code(),
            base::Code::kInvalidArgument);
  ASSERT_TRUE(Call<proto::Empty>("DeleteProcess", Process("c1")));
}

TEST_F(AgentServiceTest, HelloTellsOfTheGuest) {
  proto::HelloRequest request;
  request.set_stream_token("secret");
  const auto hello = Call<proto::HelloResponse>("Hello", request);
  EXPECT_EQ(token_, "secret");
  ASSERT_TRUE(hello);
  EXPECT_FALSE(hello->kernel_release().empty());
  EXPECT_GT(hello->online_cpus_size(), 0);
}

TEST_F(AgentServiceTest, ShutdownAnswersFirst) {
  ASSERT_TRUE(CreateCall("c1", oci::Serialise(ShellSpec(""))));
  const auto ended = Call<proto::Empty>("Shutdown", proto::Empty());
  EXPECT_TRUE(ended);
  EXPECT_TRUE(shut_down_);
  EXPECT_EQ(Call<proto::WaitProcessResponse>("WaitProcess", Process("c1"))->exit_status(), 137U);
  ASSERT_TRUE(Call<proto::Empty>("DeleteProcess", Process("c1")));
}

}  // namespace
}  // namespace agent
