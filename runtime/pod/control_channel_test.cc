#include "runtime/pod/control_channel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "agent-proto/proto/vmm_control.pb.h"
#include "runtime/base/socket.h"

namespace pod {
namespace {

using pinion::vmm::v1::FromVmm;
using pinion::vmm::v1::ToVmm;
using ::testing::HasSubstr;

// The test is the vmm, and a hostile one.
class HostileVmm : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(*base::EventLoop::Create());
    auto pair = base::SocketPair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    ASSERT_TRUE(pair);
    vmm_ = std::move(pair->second);
    auto channel =
        ControlChannel::Create(*loop_, std::move(pair->first),
                               {.on_connect =
                                    [this](uint32_t port, base::UniqueFd fd) {
                                      port_ = port;
                                      connected_ = std::move(fd);
                                    },
                                .on_exited = [this](std::string why) { exited_ = std::move(why); },
                                .on_closed =
                                    [this](std::string why) {
                                      ++closed_;
                                      why_ = std::move(why);
                                    }});
    ASSERT_TRUE(channel);
    channel_ = std::move(*channel);
  }
  void Turn() {
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(5)));
  }
  void Ask() {
    ToVmm request;
    request.mutable_run();
    channel_->Request(request, {}, [this](base::Result<void> result) {
      ++answers_;
      code_ = result ? base::Code::kOk : result.error().code();
      text_ = result ? "" : result.error().Message();
    });
  }
  void Say(const FromVmm& message, std::vector<base::BorrowedFd> fds = {}) {
    SayBytes(message.SerializeAsString(), std::move(fds));
  }
  void SayBytes(const std::string& bytes, std::vector<base::BorrowedFd> fds = {}) {
    ASSERT_TRUE(base::SendMessage(vmm_, std::as_bytes(std::span(bytes)), fds));
    Turn();
  }
  FromVmm Connect(uint32_t port) {
    FromVmm message;
    message.mutable_vsock_connect()->set_host_port(port);
    return message;
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<ControlChannel> channel_;
  base::UniqueFd vmm_;
  base::UniqueFd connected_;
  uint32_t port_ = 0;
  std::string exited_;
  std::string why_;
  std::string text_;
  int closed_ = 0;
  int answers_ = 0;
  base::Code code_ = base::Code::kOk;
};

TEST_F(HostileVmm, AnswerReachesItsRequestOnly) {
  Ask();
  FromVmm answer;
  answer.set_id(1);
  answer.set_code(3);
  answer.set_message("no\x1b[31m");
  Say(answer);
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(code_, base::Code::kInvalidArgument);
  EXPECT_EQ(text_, "no\\x1b[31m") << "escaped";
  EXPECT_EQ(closed_, 0);
}

TEST_F(HostileVmm, AConnectionThatTakesTheLastDescriptorIsRefusedAlone) {
  auto pair = base::SocketPair(SOCK_STREAM);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Say(Connect(7), {pair->first});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(closed_, 0) << why_;
  EXPECT_EQ(port_, 0U);
  Say(Connect(8), {pair->first});
  EXPECT_EQ(port_, 8U);
}

// It would pass for the machine's end.
TEST_F(HostileVmm, ItsAnswerIsNeverUnavailable) {
  Ask();
  FromVmm answer;
  answer.set_id(1);
  answer.set_code(static_cast<int32_t>(base::Code::kUnavailable));
  Say(answer);
  EXPECT_EQ(code_, base::Code::kUnknown);
  EXPECT_EQ(closed_, 0);
}

TEST_F(HostileVmm, AnswersAboutCpusSayWhichAlsoWithAnError) {
  std::vector<uint32_t> came;
  base::Code code = base::Code::kOk;
  ToVmm request;
  request.mutable_add_cpus()->add_indices(2);
  channel_->RequestCpus(request, [&](base::Result<void> result, std::vector<uint32_t> cpus) {
    code = result ? base::Code::kOk : result.error().code();
    came = std::move(cpus);
  });
  FromVmm answer;
  answer.set_id(1);
  answer.set_code(static_cast<int32_t>(base::Code::kAborted));
  answer.add_cpus(2);
  Say(answer);
  EXPECT_EQ(code, base::Code::kAborted);
  EXPECT_EQ(came, std::vector<uint32_t>{2});
}

TEST_F(HostileVmm, AnswerToNothingEndsTheChannel) {
  Ask();
  FromVmm answer;
  answer.set_id(77);
  Say(answer);
  EXPECT_EQ(closed_, 1);
  EXPECT_THAT(why_, HasSubstr("77"));
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(code_, base::Code::kUnavailable);
}

TEST_F(HostileVmm, SecondAnswerEndsTheChannel) {
  Ask();
  FromVmm answer;
  answer.set_id(1);
  Say(answer);
  EXPECT_EQ(closed_, 0);
  Say(answer);
  EXPECT_EQ(closed_, 1);
  EXPECT_EQ(answers_, 1);
}

TEST_F(HostileVmm, GarbageEndsTheChannel) {
  SayBytes("\xff\xff\xff\xff garbage");
  EXPECT_EQ(closed_, 1);
  EXPECT_FALSE(why_.empty());
}

TEST_F(HostileVmm, EventThatIsNoneEndsTheChannel) {
  SayBytes(std::string("\x12\x00", 2));
  EXPECT_EQ(closed_, 1);
}

TEST_F(HostileVmm, MessageOverTheLimitEndsTheChannel) {
  FromVmm message = Connect(1024);
  message.set_message(std::string(70000, 'x'));
  Say(message);
  EXPECT_EQ(closed_, 1);
}

TEST_F(HostileVmm, ConnectionIsHandedOutNonBlocking) {
  auto pair = base::SocketPair(SOCK_STREAM);
  Say(Connect(1024), {pair->first});
  EXPECT_EQ(port_, 1024U);
  ASSERT_TRUE(connected_.valid());
  EXPECT_NE(fcntl(connected_.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(connected_.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(HostileVmm, ConnectionWithoutADescriptorEndsTheChannel) {
  Say(Connect(1024));
  EXPECT_EQ(closed_, 1);
}

TEST_F(HostileVmm, DescriptorsOfAnotherSortEndTheChannel) {
  const base::UniqueFd file(open("/dev/null", O_RDWR | O_CLOEXEC));
  Say(Connect(1024), {file});
  EXPECT_EQ(closed_, 1);
  EXPECT_FALSE(connected_.valid());
}

TEST_F(HostileVmm, PacketSocketEndsTheChannel) {
  auto pair = base::SocketPair(SOCK_SEQPACKET);
  Say(Connect(1024), {pair->first});
  EXPECT_EQ(closed_, 1);
  EXPECT_THAT(why_, HasSubstr("SOCK_STREAM"));
}

TEST_F(HostileVmm, DescriptorWithAnAnswerEndsTheChannel) {
  Ask();
  auto pair = base::SocketPair(SOCK_STREAM);
  FromVmm answer;
  answer.set_id(1);
  Say(answer, {pair->first});
  EXPECT_EQ(closed_, 1);
}

TEST_F(HostileVmm, NineDescriptorsEndTheChannelAndAreClosed) {
  auto pair = base::SocketPair(SOCK_STREAM);
  const std::vector<base::BorrowedFd> fds(9, base::BorrowedFd(pair->first));
  Say(Connect(1024), fds);
  EXPECT_EQ(closed_, 1);
  pair->first.Reset();
  char byte;
  EXPECT_EQ(recv(pair->second.get(), &byte, 1, MSG_DONTWAIT), 0) << "no copy is left open";
}

TEST_F(HostileVmm, CloseIsToldOnceAndLaterRequestsFail) {
  vmm_.Reset();
  Turn();
  EXPECT_EQ(closed_, 1);
  EXPECT_EQ(why_, "");
  Ask();
  Turn();
  EXPECT_EQ(code_, base::Code::kUnavailable);
  EXPECT_EQ(closed_, 1);
}

TEST_F(HostileVmm, LastWordsAreEscaped) {
  FromVmm message;
  message.mutable_exited()->set_reason(pinion::vmm::v1::Exited::TRIPLE_FAULT);
  message.mutable_exited()->set_detail("rip\n\x07");
  Say(message);
  EXPECT_THAT(exited_, HasSubstr("triple fault"));
  EXPECT_EQ(exited_.find('\n'), std::string::npos);
}

TEST_F(HostileVmm, RequestOverTheLimitIsRefusedHere) {
  ToVmm request;
  request.mutable_configure()->set_command_line(std::string(70000, 'x'));
  base::Code code = base::Code::kOk;
  channel_->Request(request, {}, [&](base::Result<void> r) { code = r.error().code(); });
  Turn();
  EXPECT_EQ(code, base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace pod
