// On a network namespace of our own; needs root.
#include "runtime/netlink/route.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>

#include "tests/support/network_namespace.h"

namespace netlink {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using testing_support::AddVethPair;
using testing_support::LinkOf;

std::string Ip(const char* text) {
  std::string bytes(std::string_view(text).find(':') == std::string_view::npos ? 4 : 16, '\0');
  inet_pton(bytes.size() == 4 ? AF_INET : AF_INET6, text, bytes.data());
  return bytes;
}

class RouteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no private network namespace: needs root";
    socket_ = std::make_unique<Socket>(std::move(*Socket::Open()));
    if (!AddVethPair(*socket_, "v0", "v1")) GTEST_SKIP() << "this kernel has no veth";
    link_ = LinkOf(*socket_, "v0").index;
    for (const char* name : {"v0", "v1"}) {
      ASSERT_TRUE(ChangeLink(*socket_, LinkOf(*socket_, name).index, {.up = true}));
    }
  }
  Address Address4() const {
    return {.link = link_,
            .family = AF_INET,
            .local = Ip("10.1.2.3"),
            .broadcast = Ip("10.1.2.255"),
            .prefix = 24,
            .flags = IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT};
  }
  Address Address6() const {
    return {.link = link_,
            .family = AF_INET6,
            .local = Ip("fd00::3"),
            .prefix = 64,
            .flags = IFA_F_NODAD | IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT};
  }
  void AddAddresses() {
    for (const Address& address : {Address4(), Address6()}) {
      const auto added = AddAddress(*socket_, address);
      ASSERT_TRUE(added) << added.error().Message();
    }
  }
  void RoundTrip(const Route& route) {
    const auto added = AddRoute(*socket_, route);
    ASSERT_TRUE(added) << added.error().Message();
    EXPECT_THAT(*ReadRoutes(*socket_), Contains(route));
  }
  std::unique_ptr<Socket> socket_;
  int link_ = 0;
};

TEST_F(RouteTest, LinkIsReadAndChanged) {
  const Link link = LinkOf(*socket_, "v0");
  EXPECT_TRUE(link.ethernet);
  EXPECT_TRUE(link.up);
  EXPECT_EQ(link.mtu, 1500u);
  EXPECT_NE(link.mac, MacAddress{});
  ASSERT_TRUE(ChangeLink(*socket_, link_, {.up = false}));
  ASSERT_TRUE(ChangeLink(*socket_, link_, {.name = "other", .mtu = 1400, .up = true}));
  const Link changed = LinkOf(*socket_, "other");
  EXPECT_EQ(changed.index, link_);
  EXPECT_EQ(changed.mtu, 1400u);
  EXPECT_TRUE(changed.up);
  EXPECT_FALSE(LinkOf(*socket_, "lo").ethernet);
}

TEST_F(RouteTest, AddressesOfBothFamiliesComeBack) {
  AddAddresses();
  const auto addresses = ReadAddresses(*socket_);
  ASSERT_TRUE(addresses);
  EXPECT_THAT(*addresses, Contains(Address4()));
  EXPECT_THAT(*addresses, Contains(Address6()));
  const auto again = AddAddress(*socket_, Address4());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), base::Code::kAlreadyExists);
}

TEST_F(RouteTest, PeerOfAPointToPointAddressComesBack) {
  Address address = Address4();
  address.peer = Ip("10.9.9.9");
  address.prefix = 32;
  ASSERT_TRUE(AddAddress(*socket_, address));
  EXPECT_THAT(*ReadAddresses(*socket_), Contains(address));
}

TEST_F(RouteTest, RoutesOfBothFamiliesComeBack) {
  AddAddresses();
  const Route on_link{.family = AF_INET,
                      .destination = Ip("10.1.2.0"),
                      .prefix = 24,
                      .preferred_source = Ip("10.1.2.3"),
                      .table = RT_TABLE_MAIN,
                      .scope = RT_SCOPE_LINK,
                      .type = RTN_UNICAST,
                      .protocol = RTPROT_STATIC,
                      .next_hops = {{.link = link_}}};
  RoundTrip(on_link);
  Route by_default = on_link;
  by_default.destination.clear();
  by_default.prefix = 0;
  by_default.preferred_source.clear();
  by_default.priority = 77;
  by_default.scope = RT_SCOPE_UNIVERSE;
  by_default.metrics = {{RTAX_MTU, 1300}, {RTAX_ADVMSS, 1200}};
  by_default.next_hops = {{.link = link_, .gateway = Ip("10.1.2.1")}};
  RoundTrip(by_default);
  Route six = by_default;
  six.family = AF_INET6;
  six.next_hops[0].gateway = Ip("fe80::1");
  RoundTrip(six);
  EXPECT_EQ(AddRoute(*socket_, six).error().code(), base::Code::kAlreadyExists);
}

// Two networks of a pod in one subnet, and fe80::/64 of any two.
TEST_F(RouteTest, OneDestinationByTwoLinks) {
  AddAddresses();
  for (const bool six : {false, true}) {
    Route route{.family = static_cast<uint8_t>(six ? AF_INET6 : AF_INET),
                .destination = six ? Ip("fd00:7::") : Ip("10.7.0.0"),
                .prefix = static_cast<uint8_t>(six ? 64 : 16),
                .priority = 256,
                .table = RT_TABLE_MAIN,
                .scope = static_cast<uint8_t>(six ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK),
                .type = RTN_UNICAST,
                .protocol = RTPROT_STATIC,
                .next_hops = {{.link = link_}}};
    RoundTrip(route);
    Route other = route;
    other.next_hops[0].link = LinkOf(*socket_, "v1").index;
    RoundTrip(other);
    EXPECT_THAT(*ReadRoutes(*socket_), Contains(route));
    EXPECT_EQ(AddRoute(*socket_, other).error().code(), base::Code::kAlreadyExists);
  }
}

TEST_F(RouteTest, GatewayOutsideOfTheSubnetComesBackOnlink) {
  AddAddresses();
  Route route{.family = AF_INET,
              .table = RT_TABLE_MAIN,
              .type = RTN_UNICAST,
              .protocol = RTPROT_BOOT,
              .next_hops = {{.link = link_, .gateway = Ip("169.254.1.1")}}};
  const auto refused = AddRoute(*socket_, route);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().Message(), HasSubstr("gateway"));
  route.next_hops[0].onlink = true;
  RoundTrip(route);
}

TEST_F(RouteTest, GatewayOfTheOtherFamilyComesBack) {
  AddAddresses();
  RoundTrip({.family = AF_INET,
             .destination = Ip("192.0.2.0"),
             .prefix = 24,
             .table = RT_TABLE_MAIN,
             .type = RTN_UNICAST,
             .protocol = RTPROT_STATIC,
             .next_hops = {{.link = link_, .gateway = Ip("fe80::1")}}});
}

TEST_F(RouteTest, SeveralNextHopsComeBack) {
  AddAddresses();
  RoundTrip({.family = AF_INET,
             .destination = Ip("192.0.2.0"),
             .prefix = 24,
             .table = RT_TABLE_MAIN,
             .type = RTN_UNICAST,
             .protocol = RTPROT_STATIC,
             .next_hops = {{.link = link_, .gateway = Ip("10.1.2.1"), .onlink = true, .weight = 1},
                           {.link = link_, .gateway = Ip("10.1.2.2"), .onlink = true}}});
}

TEST_F(RouteTest, RouteThatRefusesHasNoLink) {
  RoundTrip({.family = AF_INET,
             .destination = Ip("198.51.100.0"),
             .prefix = 24,
             .table = RT_TABLE_MAIN,
             .type = RTN_BLACKHOLE,
             .protocol = RTPROT_STATIC});
}

TEST_F(RouteTest, NeighbourComesBack) {
  const Neighbour neighbour{.link = link_,
                            .family = AF_INET,
                            .address = Ip("169.254.1.1"),
                            .mac = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee},
                            .state = NUD_PERMANENT};
  ASSERT_TRUE(SetNeighbour(*socket_, neighbour));
  ASSERT_TRUE(SetNeighbour(*socket_, neighbour)) << "replaces";
  EXPECT_THAT(*ReadNeighbours(*socket_), Contains(neighbour));
}

TEST_F(RouteTest, AnswerOfAFailedRequestIsNotTakenForTheNext) {
  EXPECT_FALSE(ChangeLink(*socket_, 9999, {.up = true}));
  EXPECT_TRUE(ReadLinks(*socket_));
}

}  // namespace
}  // namespace netlink
