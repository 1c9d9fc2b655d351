#include "runtime/base/tunnel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "runtime/base/file.h"
#include "runtime/base/socket.h"

namespace base {
namespace {

class TunnelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto a = SocketPair(SOCK_STREAM);
    auto b = SocketPair(SOCK_STREAM);
    ASSERT_TRUE(a && b);
    a_ = std::move(a->first);
    b_ = std::move(b->first);
    far_a_ = std::move(a->second);
    far_b_ = std::move(b->second);
  }
  void Start(std::string early = {}) {
    auto tunnel =
        Tunnel::Start(*loop_, std::move(far_a_), std::move(far_b_), std::move(early), [this] {
          ended_ = true;
          loop_->Stop();
        });
    ASSERT_TRUE(tunnel) << tunnel.error().Message();
    tunnel_ = std::move(*tunnel);
  }
  void Turn(int times = 4) {
    for (int i = 0; i < times; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  }
  static std::string Receive(const UniqueFd& socket) {
    std::string bytes(1000, '\0');
    const ssize_t size = recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0) return "nothing";
    bytes.resize(static_cast<size_t>(size));
    return bytes;
  }
  static void Send(const UniqueFd& socket, const std::string& bytes) {
    ASSERT_EQ(send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  std::unique_ptr<EventLoop> loop_ = std::move(*EventLoop::Create());
  UniqueFd a_, b_, far_a_, far_b_;
  bool ended_ = false;
  std::unique_ptr<Tunnel> tunnel_;
};

TEST_F(TunnelTest, BytesGoBothWaysAndEarlyOnesFirst) {
  Start("early ");
  Send(b_, "late");
  Send(a_, "question");
  Turn();
  EXPECT_EQ(Receive(b_), "question");
  EXPECT_EQ(Receive(a_), "early late");
}

TEST_F(TunnelTest, EndOfOneWayLeavesTheOtherOpen) {
  Start();
  Send(a_, "last");
  ASSERT_EQ(shutdown(a_.get(), SHUT_WR), 0);
  Turn();
  EXPECT_EQ(Receive(b_), "last");
  EXPECT_EQ(Receive(b_), "") << "end of file";
  EXPECT_FALSE(ended_);
  Send(b_, "answer");
  Turn();
  EXPECT_EQ(Receive(a_), "answer");
  b_.Reset();
  Turn();
  EXPECT_TRUE(ended_);
  EXPECT_EQ(Receive(a_), "");
}

TEST_F(TunnelTest, SideThatTakesNoMoreIsStillHeard) {
  Start();
  ASSERT_EQ(shutdown(b_.get(), SHUT_RD), 0);
  Send(a_, "too late");
  Send(b_, "last words");
  Turn();
  EXPECT_EQ(Receive(a_), "last words");
  EXPECT_FALSE(ended_);
  b_.Reset();
  Turn();
  EXPECT_EQ(Receive(a_), "");
  EXPECT_TRUE(ended_);
}

TEST_F(TunnelTest, ResetEndsBothWays) {
  Start();
  Send(a_, "never read");
  Turn();
  b_.Reset();  // with bytes unread, which is a reset
  Turn();
  EXPECT_TRUE(ended_) << "the client, who has said nothing more, would be waited for";
  tunnel_.reset();
  EXPECT_EQ(Receive(a_), "");
}

TEST_F(TunnelTest, SideThatTakesNothingHoldsUpTheOther) {
  Start();
  const std::string block(64 << 10, 'x');
  size_t sent = 0;
  for (int rounds = 0; rounds < 200; ++rounds) {
    const ssize_t size = send(a_.get(), block.data(), block.size(), MSG_DONTWAIT);
    if (size > 0) sent += static_cast<size_t>(size);
    Turn(1);
  }
  EXPECT_LT(sent, size_t{200} * block.size()) << "somebody buffers without a limit";
}

TEST_F(TunnelTest, ManyBytesArriveWhole) {
  Start();
  std::string sent(3 << 20, '\0');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 >> 3);
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(a_, sent));
    shutdown(a_.get(), SHUT_WR);
  });
  std::string got;
  std::thread reader([&] {
    got = ReadAll(b_, 8 << 20).value_or("");
    shutdown(b_.get(), SHUT_WR);
  });
  ASSERT_TRUE(loop_->Run());
  writer.join();
  reader.join();
  EXPECT_TRUE(ended_);
  EXPECT_TRUE(got == sent);
}

TEST_F(TunnelTest, HangUpOfAnIdleSideEndsIt) {
  Start();
  b_.Reset();
  a_.Reset();
  Turn();
  EXPECT_TRUE(ended_);
}

}  // namespace
}  // namespace base
