#include "vmm/control/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "agent-proto/proto/vmm_control.pb.h"
#include "runtime/base/socket.h"

namespace vmm {
namespace {

namespace v1 = pinion::vmm::v1;
using ::testing::HasSubstr;

class ControlServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    auto pair = base::SocketPair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    ASSERT_TRUE(pair);
    shim_ = std::move(pair->first);
    auto server = ControlServer::Create(std::move(pair->second), *loop_, {});
    ASSERT_TRUE(server);
    server_ = std::move(*server);
  }
  void SendBytes(const std::string& bytes) {
    ASSERT_TRUE(base::SendMessage(shim_, std::as_bytes(std::span(bytes.data(), bytes.size()))));
  }
  v1::FromVmm Ask(const v1::ToVmm& message) {
    SendBytes(message.SerializeAsString());
    EXPECT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
    std::vector<std::byte> buffer(64 << 10);
    auto received = base::ReceiveMessage(shim_, buffer, 1);
    v1::FromVmm reply;
    EXPECT_TRUE(received);
    if (received) {
      EXPECT_TRUE(reply.ParseFromArray(buffer.data(), static_cast<int>(received->size)));
    }
    return reply;
  }
  std::unique_ptr<base::EventLoop> loop_;
  base::UniqueFd shim_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerTest, RequestsOutOfOrderAreRefusedAndAnswered) {
  v1::ToVmm run;
  run.set_id(5);
  run.mutable_run();
  const v1::FromVmm reply = Ask(run);
  EXPECT_EQ(reply.id(), 5u);
  EXPECT_EQ(reply.code(), static_cast<int>(base::Code::kFailedPrecondition));
  v1::ToVmm resume;
  resume.set_id(6);
  resume.mutable_resume();
  EXPECT_EQ(Ask(resume).code(), static_cast<int>(base::Code::kFailedPrecondition));
  v1::ToVmm add;
  add.set_id(7);
  add.mutable_add_cpus()->add_indices(1);
  EXPECT_EQ(Ask(add).code(), static_cast<int>(base::Code::kFailedPrecondition));
  v1::ToVmm plug;
  plug.set_id(8);
  plug.mutable_plug_net();
  EXPECT_EQ(Ask(plug).code(), static_cast<int>(base::Code::kFailedPrecondition));
}

TEST_F(ControlServerTest, NothingIsConfiguredBeforeThereIsAVm) {
  v1::ToVmm configure;
  configure.set_id(1);
  configure.mutable_configure();
  const v1::FromVmm reply = Ask(configure);
  EXPECT_EQ(reply.code(), static_cast<int>(base::Code::kFailedPrecondition));
  EXPECT_THAT(reply.message(), HasSubstr("Configure"));
}

TEST_F(ControlServerTest, ACreateVmThatCannotBeDoneIsAnsweredWithItsReason) {
  v1::ToVmm create;
  create.set_id(1);
  create.mutable_create_vm()->set_kvm_fd(3);
  const v1::FromVmm reply = Ask(create);
  EXPECT_EQ(reply.code(), static_cast<int>(base::Code::kInvalidArgument));
  EXPECT_THAT(reply.message(), HasSubstr("kvm_fd"));
}

TEST_F(ControlServerTest, EndsWhenTheShimIsGone) {
  shim_.Reset();
  EXPECT_TRUE(loop_->Run());  // returns
}

TEST_F(ControlServerTest, EndsOnAMessageThatCannotBeRead) {
  SendBytes("\xff\xff\xff");
  EXPECT_TRUE(loop_->Run());
}

TEST_F(ControlServerTest, EndsOnAMessageWithoutAnId) {
  v1::ToVmm run;
  run.mutable_run();
  SendBytes(run.SerializeAsString());
  EXPECT_TRUE(loop_->Run());
}

}  // namespace
}  // namespace vmm
