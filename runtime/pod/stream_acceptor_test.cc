#include "runtime/pod/stream_acceptor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "agent-proto/proto/agent.pb.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"

namespace pod {
namespace {

using pinion::agent::v1::StreamHello;

constexpr const char* kToken = "0123456789abcdef";

class StreamAcceptorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    acceptor_ = std::make_unique<StreamAcceptor>(
        *loop_, kToken, [this](GuestStream stream) { stream_.emplace(std::move(stream)); });
  }

  // The guest's end of a connection that was accepted.
  base::UniqueFd Connect() {
    auto pair = base::SocketPair(SOCK_STREAM);
    EXPECT_TRUE(pair);
    acceptor_->Accept(std::move(pair->first));
    return std::move(pair->second);
  }

  void RunUntil(const std::function<bool()>& done) {
    for (int i = 0; i < 500 && !done(); ++i) {
      const base::Timer stop =
          loop_->After(std::chrono::milliseconds(10), [this] { loop_->Stop(); });
      ASSERT_TRUE(loop_->Run());
    }
  }

  static std::string Hello(const std::string& token, int kind = StreamHello::STDOUT) {
    StreamHello hello;
    hello.set_container_id("c");
    hello.set_exec_id("e");
    hello.set_kind(static_cast<StreamHello::Kind>(kind));
    hello.set_token(token);
    return stream::Encode(hello.SerializeAsString());
  }

  // What becomes of a connection whose first bytes are these: handed out, or closed.
  bool HandsOut(const std::string& bytes) {
    const base::UniqueFd guest = Connect();
    EXPECT_TRUE(base::WriteAll(guest, bytes));
    RunUntil([this] { return acceptor_->pending() == 0; });
    EXPECT_EQ(acceptor_->pending(), 0u);
    return stream_.has_value();
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<StreamAcceptor> acceptor_;
  std::optional<GuestStream> stream_;
};

TEST_F(StreamAcceptorTest, TheAgentsStreamIsHandedOut) {
  ASSERT_TRUE(HandsOut(Hello(kToken)));
  EXPECT_EQ(stream_->container_id, "c");
  EXPECT_EQ(stream_->exec_id, "e");
  EXPECT_EQ(stream_->kind, StreamKind::kStdout);
}

TEST_F(StreamAcceptorTest, AContainerCannotPassForTheAgent) {
  EXPECT_FALSE(HandsOut(Hello("")));
  EXPECT_FALSE(HandsOut(Hello("0123456789abcdeF")));
  EXPECT_FALSE(HandsOut(Hello(std::string(kToken) + "0")));
}

TEST_F(StreamAcceptorTest, WhatIsNoHelloIsRefused) {
  EXPECT_FALSE(HandsOut(Hello(kToken, 7)));
  EXPECT_FALSE(HandsOut(stream::Encode("no message\xff\xff")));
  EXPECT_FALSE(HandsOut(stream::Encode(std::string(StreamAcceptor::kMaxHelloBytes + 1, 'x'))));
  EXPECT_FALSE(HandsOut(std::string("\xff\xff\xff\xff", 4)));
}

TEST_F(StreamAcceptorTest, ConnectionsThatSayNothingAreBounded) {
  std::vector<base::UniqueFd> guests;
  for (size_t i = 0; i < StreamAcceptor::kMaxPending + 5; ++i) guests.push_back(Connect());
  EXPECT_EQ(acceptor_->pending(), StreamAcceptor::kMaxPending);
  guests.clear();
  RunUntil([this] { return acceptor_->pending() == 0; });
  EXPECT_EQ(acceptor_->pending(), 0u);
}

}  // namespace
}  // namespace pod
