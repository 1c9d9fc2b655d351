// On a network namespace of our own; needs root.
#include "runtime/network/port_listener.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "runtime/network/netns.h"
#include "tests/support/network_namespace.h"

namespace network {
namespace {

class PortListenerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = MakeNamespace();
    if (!made) GTEST_SKIP() << "no network namespace: needs root";
    ns_ = std::move(*made);
    ASSERT_TRUE(RunIn(ns_, []() -> base::Result<void> {
      netlink::Socket socket = TRY(netlink::Socket::Open());
      return netlink::ChangeLink(socket, testing_support::LinkOf(socket, "lo").index, {.up = true});
    }));
    auto listener = ListenToAllPorts(ns_);
    if (!listener) GTEST_SKIP() << "this kernel: " << listener.error().Message();
    listener_ = std::move(*listener);
  }
  base::UniqueFd Dial(const sockaddr* address, socklen_t size) {
    base::UniqueFd fd;
    EXPECT_TRUE(RunIn(ns_, [&]() -> base::Result<void> {
      fd.Reset(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (connect(fd.get(), address, size) != 0) fd.Reset();
      return base::Ok();
    }));
    return fd;
  }
  base::UniqueFd Dial4(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return Dial(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  // The port that the next connection was made to; 0: there is none.
  uint16_t Accepted() {
    const base::UniqueFd fd(accept4(listener_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    sockaddr_in6 address{};
    socklen_t size = sizeof(address);
    if (!fd || getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    return ntohs(address.sin6_port);
  }
  base::UniqueFd ns_;
  PortListener listener_;
};

TEST_F(PortListenerTest, TakesEveryPortOfBothFamilies) {
  for (const uint16_t port : {uint16_t{1}, uint16_t{80}, uint16_t{65535}}) {
    EXPECT_TRUE(Dial4(port));
    EXPECT_EQ(Accepted(), port);
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(8080);
  address.sin6_addr = in6addr_loopback;
  EXPECT_TRUE(Dial(reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  EXPECT_EQ(Accepted(), 8080);
  EXPECT_EQ(Accepted(), 0);
}

TEST_F(PortListenerTest, GoesWithItsDescriptors) {
  listener_ = {};
  EXPECT_FALSE(Dial4(80));
}

TEST_F(PortListenerTest, OtherNamespacesAreNotTouched) {
  auto other = MakeNamespace();
  ASSERT_TRUE(other);
  ns_ = std::move(*other);
  EXPECT_FALSE(Dial4(80));
}

}  // namespace
}  // namespace network
