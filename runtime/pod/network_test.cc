#include "runtime/pod/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "agent-proto/proto/agent.pb.h"
#include "runtime/network/netns.h"

namespace pod {
namespace {

using ::testing::HasSubstr;

oci::Spec With(std::vector<oci::Namespace> namespaces) {
  oci::Spec spec;
  spec.linux_config.namespaces = std::move(namespaces);
  return spec;
}

std::string Refusal(const oci::Spec& spec) {
  const auto network = PlanNetwork(spec);
  return network ? "accepted" : network.error().Message();
}

TEST(PlanNetwork, HostsNetworkIsRefusedWithAWayOut) {
  const auto network = PlanNetwork(With({{"pid", ""}}));
  ASSERT_FALSE(network);
  EXPECT_EQ(network.error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(network.error().Message(), HasSubstr("without hostNetwork"));
  EXPECT_THAT(Refusal(With({{"network", "/proc/self/ns/net"}})),
              HasSubstr("the host's network cannot be a guest's"));
}

TEST(PlanNetwork, PathThatIsNoNetworkNamespaceIsNamed) {
  EXPECT_THAT(Refusal(With({{"network", "/proc/self/ns/mnt"}})), HasSubstr("/proc/self/ns/mnt"));
  EXPECT_THAT(Refusal(With({{"network", "/no/such/path"}})), HasSubstr("/no/such/path"));
}

TEST(PlanNetwork, WithoutAPathThePodGetsOneOfItsOwn) {
  if (!network::MakeNamespace()) GTEST_SKIP() << "no network namespace: needs root";
  const auto network = PlanNetwork(With({{"network", ""}}));
  ASSERT_TRUE(network) << network.error().Message();
  EXPECT_TRUE(network->survey.cards.empty());
  EXPECT_NE(*network::IdentityOf(network->ns), *network::IdentityOf(*network::OwnNamespace()));
}

TEST(NetworkRequest, LinksBecomePlacesInTheListOfCards) {
  network::Survey survey;
  for (const int index : {7, 3}) {
    network::Card card;
    card.link = {.index = index, .name = "eth" + std::to_string(index), .mtu = 1400, .ipv6 = true};
    card.addresses.push_back({.link = index, .family = AF_INET, .local = "addr", .prefix = 24});
    card.neighbours.push_back({.link = index, .family = AF_INET, .address = "next"});
    survey.cards.push_back(card);
  }
  survey.routes.push_back({.family = AF_INET6,
                           .priority = 5,
                           .type = RTN_UNICAST,
                           .metrics = {{RTAX_MTU, 1300}},
                           .next_hops = {{.link = 3, .gateway = "gate", .onlink = true}}});
  pinion::agent::v1::ConfigureNetworkRequest request;
  FillNetworkRequest(survey, &request);
  ASSERT_EQ(request.cards_size(), 2);
  EXPECT_EQ(request.cards(1).name(), "eth3");
  EXPECT_EQ(request.cards(1).mac().size(), 6u);
  EXPECT_EQ(request.cards(0).addresses(0).local(), "addr");
  EXPECT_EQ(request.cards(0).neighbours(0).address(), "next");
  ASSERT_EQ(request.routes_size(), 1);
  EXPECT_TRUE(request.routes(0).ipv6());
  EXPECT_EQ(request.routes(0).metrics().at(RTAX_MTU), 1300u);
  EXPECT_EQ(request.routes(0).next_hops(0).card(), 1u);
  EXPECT_TRUE(request.routes(0).next_hops(0).onlink());
}

}  // namespace
}  // namespace pod
