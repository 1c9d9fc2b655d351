#include "runtime/agent/port_forward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "runtime/base/socket.h"

namespace agent {
namespace {

using ::testing::HasSubstr;

const std::string kLocalhost("\x7f\0\0\1", 4);

class PortForwardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(bind(server_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(listen(server_.get(), 8), 0);
    ASSERT_EQ(getsockname(server_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  // "" is success.
  std::string Open(uint64_t id, const std::string& address, uint32_t port) {
    std::optional<std::string> answer;
    forward_.Open(id, address, port, [&](base::Result<void> result) {
      answer = result ? std::string() : result.error().Message();
    });
    for (int i = 0; i < 100 && !answer; ++i) {
      EXPECT_TRUE(loop_->RunOnce(std::chrono::milliseconds(100)));
    }
    return answer.value_or("no answer");
  }

  std::unique_ptr<base::EventLoop> loop_ = std::move(*base::EventLoop::Create());
  base::UniqueFd server_;
  uint16_t port_ = 0;
  std::map<uint64_t, base::UniqueFd> host_;
  bool refuse_ = false;
  PortForward forward_{*loop_, [this](uint64_t id) -> base::Result<base::UniqueFd> {
                         if (refuse_) return base::MakeError(base::Code::kUnavailable, "no host");
                         auto pair = TRY(base::SocketPair(SOCK_STREAM));
                         host_[id] = std::move(pair.first);
                         return std::move(pair.second);
                       }};
};

TEST_F(PortForwardTest, BytesReachWhoeverListensAndComeBack) {
  ASSERT_EQ(Open(7, kLocalhost, port_), "");
  const base::UniqueFd served(accept4(server_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(served);
  ASSERT_EQ(send(host_[7].get(), "hello", 5, 0), 5);
  ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(10000)));
  char buffer[16];
  EXPECT_EQ(recv(served.get(), buffer, sizeof buffer, 0), 5);
  ASSERT_EQ(send(served.get(), "back", 4, 0), 4);
  ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(10000)));
  EXPECT_EQ(recv(host_[7].get(), buffer, sizeof buffer, 0), 4);
  EXPECT_THAT(Open(7, kLocalhost, port_), HasSubstr("forward 7 exists"));
}

TEST_F(PortForwardTest, NobodyListeningIsSaid) {
  server_.Reset();
  EXPECT_THAT(Open(1, kLocalhost, port_), HasSubstr("refused"));
  EXPECT_TRUE(host_.empty()) << "the host was dialled for nothing";
  EXPECT_THAT(Open(1, kLocalhost, port_), HasSubstr("refused")) << "the id is free again";
}

// A client that dials 127.0.0.1 and then, refused, ::1, as containerd does, is not refused here.
TEST_F(PortForwardTest, WhoListensOnIpv6sLocalhostAloneIsReachedByIpv4s) {
  server_.Reset(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  if (bind(server_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    GTEST_SKIP() << "no IPv6 here";
  }
  ASSERT_EQ(listen(server_.get(), 8), 0);
  socklen_t size = sizeof(address);
  ASSERT_EQ(getsockname(server_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_EQ(Open(1, kLocalhost, ntohs(address.sin6_port)), "");
  EXPECT_THAT(Open(2, std::string("\x7f\0\0\2", 4), ntohs(address.sin6_port)),
              HasSubstr("refused"));
}

// What a client does not take stays with the guest's program, not in the kernel's hands.
TEST_F(PortForwardTest, LittleIsBufferedForAClientWhoTakesNothing) {
  ASSERT_EQ(Open(1, kLocalhost, port_), "");
  const base::UniqueFd served(accept4(server_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(served);
  const std::string block(64 << 10, 'x');
  size_t sent = 0;
  for (int i = 0; i < 400; ++i) {
    const ssize_t size = send(served.get(), block.data(), block.size(), MSG_DONTWAIT);
    if (size > 0) sent += static_cast<size_t>(size);
    ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  }
  EXPECT_LT(sent, size_t{2} << 20);
}

TEST_F(PortForwardTest, WrongTargetsAreRefused) {
  EXPECT_THAT(Open(1, kLocalhost, 0), HasSubstr("port 0"));
  EXPECT_THAT(Open(1, kLocalhost, 65536), HasSubstr("port 65536"));
  EXPECT_THAT(Open(1, "12345", 80), HasSubstr("address of 5 bytes"));
}

TEST_F(PortForwardTest, HostThatCannotBeDialledFreesTheId) {
  refuse_ = true;
  EXPECT_THAT(Open(1, kLocalhost, port_), HasSubstr("no host"));
  refuse_ = false;
  EXPECT_EQ(Open(1, kLocalhost, port_), "");
}

TEST_F(PortForwardTest, ConnectionsAreBounded) {
  for (uint64_t id = 0; id < PortForward::kMaxForwards; ++id) {
    forward_.Open(id, kLocalhost, port_, [](base::Result<void>) {});
  }
  EXPECT_THAT(Open(9999, kLocalhost, port_), HasSubstr("256 connections"));
}

}  // namespace
}  // namespace agent
