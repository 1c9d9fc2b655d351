// A guest's kernel is any kernel: the cards are veths in a network namespace of our own. Needs
// root.
#include "runtime/agent/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>

#include "agent-proto/proto/agent.pb.h"
#include "runtime/base/file.h"
#include "tests/support/network_namespace.h"

namespace agent {
namespace {

namespace proto = pinion::agent::v1;
using ::testing::HasSubstr;
using testing_support::LinkOf;

const std::string kIp("\x0a\1\2\3", 4);
const std::string kGateway("\xa9\xfe\1\1", 4);
const std::string kIp6("\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3", 16);

proto::ConfigureNetworkRequest Good(const netlink::Link& link) {
  proto::ConfigureNetworkRequest request;
  proto::NetworkCard& card = *request.add_cards();
  card.set_mac(link.mac.data(), link.mac.size());
  card.set_name("eth0");
  card.set_mtu(1400);
  card.set_ipv6(true);
  auto* address = card.add_addresses();
  address->set_local(kIp);
  address->set_prefix(32);
  address = card.add_addresses();
  address->set_local(kIp6);
  address->set_prefix(64);
  auto* neighbour = card.add_neighbours();
  neighbour->set_address(kGateway);
  neighbour->set_mac("\2\0\0\0\0\1", 6);
  proto::NetworkRoute& route = *request.add_routes();
  route.set_type(RTN_UNICAST);
  route.set_protocol(RTPROT_BOOT);
  route.set_priority(5);
  route.mutable_metrics()->insert({RTAX_MTU, 1300});
  auto* hop = route.add_next_hops();
  hop->set_gateway(kGateway);
  hop->set_onlink(true);
  return request;
}

std::string Refusal(const std::function<void(proto::ConfigureNetworkRequest&)>& change) {
  proto::ConfigureNetworkRequest request = Good({});
  change(request);
  const auto plan = ReadNetworkPlan(request);
  return plan ? "accepted" : plan.error().Message();
}

TEST(NetworkPlan, RefusesWhatCannotBe) {
  using Request = proto::ConfigureNetworkRequest;
  EXPECT_EQ(Refusal([](Request&) {}), "accepted");
  EXPECT_THAT(Refusal([](Request& r) { r.mutable_cards(0)->set_mac("short"); }),
              HasSubstr("mac: 5 bytes"));
  EXPECT_THAT(Refusal([](Request& r) { r.mutable_cards(0)->set_name(std::string(16, 'n')); }),
              HasSubstr("1 to 15 characters"));
  EXPECT_THAT(Refusal([](Request& r) { r.mutable_cards(0)->clear_name(); }),
              HasSubstr("1 to 15 characters"));
  const auto address = [](Request& r) { return r.mutable_cards(0)->mutable_addresses(0); };
  EXPECT_THAT(Refusal([&](Request& r) { address(r)->set_local("12345"); }),
              HasSubstr("local: 5 bytes"));
  EXPECT_THAT(Refusal([&](Request& r) { address(r)->set_peer(kIp6); }),
              HasSubstr("of the other family"));
  EXPECT_THAT(Refusal([&](Request& r) { address(r)->set_prefix(256); }), HasSubstr("prefix: 256"));
  const auto route = [](Request& r) { return r.mutable_routes(0); };
  EXPECT_THAT(Refusal([&](Request& r) { route(r)->mutable_next_hops(0)->set_card(1); }),
              HasSubstr("card 1 of 1"));
  EXPECT_THAT(Refusal([&](Request& r) { route(r)->set_destination(kIp6); }),
              HasSubstr("destination"));
  EXPECT_THAT(Refusal([&](Request& r) { route(r)->set_type(300); }), HasSubstr("type: 300"));
  EXPECT_THAT(Refusal([&](Request& r) { (*route(r)->mutable_metrics())[99] = 1; }),
              HasSubstr("metrics: 99"));
}

class NetworkTest : public ::testing::Test {
 protected:
  // The tests that follow want the network that there was.
  void TearDown() override {
    if (!before_) return;
    EXPECT_EQ(setns(before_.get(), CLONE_NEWNET), 0);
  }
  void SetUp() override {
    auto before = base::Open("/proc/thread-self/ns/net", O_RDONLY);
    ASSERT_TRUE(before) << before.error().Message();
    before_ = std::move(*before);
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no private network namespace: needs root";
    socket_ = std::make_unique<netlink::Socket>(std::move(*netlink::Socket::Open()));
    if (!testing_support::AddVethPair(*socket_, "eth1", "eth0")) {
      GTEST_SKIP() << "this kernel has no veth";
    }
    // The other end of the card, which bears its name so far.
    const int other = LinkOf(*socket_, "eth0").index;
    ASSERT_TRUE(netlink::ChangeLink(*socket_, other, {.name = "outside", .up = true}));
    card_ = LinkOf(*socket_, "eth1");
  }
  base::Result<void> Apply(const proto::ConfigureNetworkRequest& request) {
    return ApplyNetworkPlan(TRY(ReadNetworkPlan(request)));
  }
  base::UniqueFd before_;
  std::unique_ptr<netlink::Socket> socket_;
  netlink::Link card_;
};

TEST_F(NetworkTest, CardBecomesTheHostsLink) {
  const auto applied = Apply(Good(card_));
  ASSERT_TRUE(applied) << applied.error().Message();
  const netlink::Link link = LinkOf(*socket_, "eth0");
  EXPECT_EQ(link.index, card_.index);
  EXPECT_EQ(link.mtu, 1400u);
  EXPECT_TRUE(link.up);
  bool found = false;
  const auto addresses = netlink::ReadAddresses(*socket_);
  ASSERT_TRUE(addresses);
  for (const netlink::Address& address : *addresses) {
    if (address.local != kIp6) continue;
    found = true;
    EXPECT_EQ(address.prefix, 64);
    EXPECT_EQ(address.flags & IFA_F_TENTATIVE, 0u);
  }
  EXPECT_TRUE(found);
  const auto routes = netlink::ReadRoutes(*socket_);
  ASSERT_TRUE(routes);
  EXPECT_TRUE(std::any_of(routes->begin(), routes->end(), [](const netlink::Route& route) {
    return route.table == RT_TABLE_MAIN && route.priority == 5 && route.metrics.count(RTAX_MTU) &&
           route.next_hops.size() == 1 && route.next_hops[0].gateway == kGateway;
  }));
  // No route that the host does not have.
  EXPECT_FALSE(std::any_of(routes->begin(), routes->end(), [](const netlink::Route& route) {
    return route.table == RT_TABLE_MAIN && route.family == AF_INET && route.priority != 5;
  }));
  const auto neighbours = netlink::ReadNeighbours(*socket_);
  ASSERT_TRUE(neighbours);
  EXPECT_TRUE(std::any_of(neighbours->begin(), neighbours->end(),
                          [](const auto& one) { return one.address == kGateway; }));
}

TEST_F(NetworkTest, NamesMayBeExchanged) {
  const netlink::Link other = LinkOf(*socket_, "outside");
  proto::ConfigureNetworkRequest request;
  for (const auto& [link, name] : {std::pair(card_, "outside"), std::pair(other, "eth1")}) {
    ASSERT_TRUE(netlink::ChangeLink(*socket_, link.index, {.up = false}));
    proto::NetworkCard& card = *request.add_cards();
    card.set_mac(link.mac.data(), link.mac.size());
    card.set_name(name);
    card.set_mtu(1500);
  }
  const auto applied = Apply(request);
  ASSERT_TRUE(applied) << applied.error().Message();
  EXPECT_EQ(LinkOf(*socket_, "outside").index, card_.index);
  EXPECT_EQ(LinkOf(*socket_, "eth1").index, other.index);
}

TEST_F(NetworkTest, CardThatHasNotComeIsNamed) {
  proto::ConfigureNetworkRequest request = Good(card_);
  request.mutable_cards(0)->set_mac("\2\2\2\2\2\2");
  const auto applied = Apply(request);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), base::Code::kNotFound);
  EXPECT_THAT(applied.error().Message(), HasSubstr("card eth0"));
}

TEST_F(NetworkTest, RouteThatTheKernelRefusesIsAnError) {
  proto::ConfigureNetworkRequest request = Good(card_);
  request.mutable_routes(0)->mutable_next_hops(0)->set_onlink(false);
  const auto applied = Apply(request);
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().Message(), HasSubstr("route"));
}

}  // namespace
}  // namespace agent
