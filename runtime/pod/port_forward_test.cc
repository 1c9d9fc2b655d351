// The listening socket is an ordinary one here: what reaches it by any port is
// network/port_listener_test's.
#include "runtime/pod/port_forward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "runtime/base/socket.h"

namespace pod {
namespace {

class PortForwardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    base::UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)), 0);
    ASSERT_EQ(listen(listener.get(), 300), 0);
    socklen_t size = sizeof(address_);
    ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
    auto made = PortForward::Create(
        *loop_, {std::move(listener), {}},
        [this](const PortForward::Target& target, std::function<void(base::Result<void>)> done) {
          asked_.push_back(target);
          answers_.push_back(std::move(done));
        });
    ASSERT_TRUE(made);
    forward_ = std::move(*made);
  }
  base::UniqueFd Dial() {
    base::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address_), sizeof(address_)), 0);
    Turn();
    return fd;
  }
  void Turn(int times = 3) {
    for (int i = 0; i < times; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  }
  // "reset", "end", or what came.
  static std::string Receive(const base::UniqueFd& fd) {
    char buffer[64];
    const ssize_t size = recv(fd.get(), buffer, sizeof buffer, 0);
    if (size < 0) return errno == ECONNRESET ? "reset" : "error";
    return size == 0 ? "end" : std::string(buffer, static_cast<size_t>(size));
  }

  std::unique_ptr<base::EventLoop> loop_ = std::move(*base::EventLoop::Create());
  sockaddr_in address_{};
  std::vector<PortForward::Target> asked_;
  std::vector<std::function<void(base::Result<void>)>> answers_;
  std::unique_ptr<PortForward> forward_;
};

TEST_F(PortForwardTest, GuestIsAskedForWhatWasDialledAndJoined) {
  const base::UniqueFd client = Dial();
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_[0].address, std::string("\x7f\0\0\1", 4));
  EXPECT_EQ(asked_[0].port, ntohs(address_.sin_port));
  auto pair = base::SocketPair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  ASSERT_TRUE(forward_->Attach(std::to_string(asked_[0].id), std::move(pair->second), "early "));
  answers_[0](base::Ok());
  ASSERT_EQ(send(pair->first.get(), "late", 4, 0), 4);
  ASSERT_EQ(send(client.get(), "question", 8, 0), 8);
  Turn(6);
  EXPECT_EQ(Receive(pair->first), "question");
  std::string got = Receive(client);
  if (got == "early ") got += Receive(client);
  EXPECT_EQ(got, "early late");
  pair->first.Reset();
  Turn(6);
  EXPECT_EQ(Receive(client), "end");
}

TEST_F(PortForwardTest, RefusalOfTheGuestResetsTheClient) {
  const base::UniqueFd client = Dial();
  answers_[0](base::MakeError(base::Code::kUnavailable, "nobody listens"));
  EXPECT_EQ(Receive(client), "reset");
}

TEST_F(PortForwardTest, StreamThatIsThereOutlivesALateRefusal) {
  const base::UniqueFd client = Dial();
  auto pair = base::SocketPair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  ASSERT_TRUE(forward_->Attach(std::to_string(asked_[0].id), std::move(pair->second), "here"));
  answers_[0](base::MakeError(base::Code::kDeadlineExceeded, "no answer within 30 s"));
  Turn();
  EXPECT_EQ(Receive(client), "here");
}

TEST_F(PortForwardTest, WithoutADescriptorTheNextConnectionWaits) {
  base::UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address_), sizeof(address_)), 0);
  Turn();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(asked_.empty());
  for (int i = 0; i < 100 && asked_.empty(); ++i) {
    ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(100)));
  }
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(PortForwardTest, GuestJoinsOnlyWhatWaitsAndOnce) {
  const base::UniqueFd client = Dial();
  const auto attach = [this](const std::string& id) {
    auto pair = base::SocketPair(SOCK_STREAM);
    return pair && forward_->Attach(id, std::move(pair->second), {});
  };
  const std::string id = std::to_string(asked_[0].id);
  for (const std::string& wrong : {std::string(), std::string("x"), id + " ", "9" + id}) {
    EXPECT_FALSE(attach(wrong)) << wrong;
  }
  auto kept = base::SocketPair(SOCK_STREAM);
  ASSERT_TRUE(kept);
  EXPECT_TRUE(forward_->Attach(id, std::move(kept->second), {}));
  EXPECT_FALSE(attach(id)) << "a second stream of one forward";
}

TEST_F(PortForwardTest, ConnectionsAreBounded) {
  std::vector<base::UniqueFd> clients;
  for (size_t i = 0; i < PortForward::kMaxForwards; ++i) clients.push_back(Dial());
  EXPECT_EQ(asked_.size(), PortForward::kMaxForwards);
  const base::UniqueFd last = Dial();
  EXPECT_EQ(asked_.size(), PortForward::kMaxForwards);
  EXPECT_EQ(Receive(last), "reset");
}

TEST_F(PortForwardTest, AnswerAfterItsEndIsDropped) {
  const base::UniqueFd client = Dial();
  forward_.reset();
  answers_[0](base::MakeError(base::Code::kUnavailable, "late"));
  EXPECT_NE(Receive(client), "");
}

}  // namespace
}  // namespace pod
