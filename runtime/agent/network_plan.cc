#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>

#include "agent-proto/proto/agent.pb.h"
#include "runtime/agent/network.h"

namespace agent {
namespace {

namespace proto = pinion::agent::v1;
using base::Code;
using base::MakeError;

// Duplicates were looked for where the address is in use since before the guest was; the routes of
// subnets are in the list, or are not to be.
constexpr uint32_t kAddressFlags = IFA_F_PERMANENT | IFA_F_NODAD | IFA_F_NOPREFIXROUTE;

base::Result<uint8_t> FamilyOf(const std::string& address, const char* what) {
  if (address.size() == sizeof(in_addr)) return uint8_t{AF_INET};
  if (address.size() == sizeof(in6_addr)) return uint8_t{AF_INET6};
  return MakeError(Code::kInvalidArgument, "{}: {} bytes: must be 4 or 16", what, address.size());
}

base::Result<void> CheckAddress(const std::string& address, uint8_t family, const char* what) {
  if (address.empty()) return base::Ok();
  if (TRY(FamilyOf(address, what)) == family) return base::Ok();
  return MakeError(Code::kInvalidArgument, "{}: {} bytes: of the other family", what,
                   address.size());
}

base::Result<uint8_t> Byte(uint32_t value, const char* what) {
  if (value <= UINT8_MAX) return static_cast<uint8_t>(value);
  return MakeError(Code::kInvalidArgument, "{}: {}: must be at most {}", what, value, UINT8_MAX);
}

base::Result<netlink::MacAddress> ReadMac(const std::string& bytes) {
  netlink::MacAddress mac{};
  if (bytes.size() != mac.size()) {
    return MakeError(Code::kInvalidArgument, "mac: {} bytes: must be {}", bytes.size(), mac.size());
  }
  std::copy(bytes.begin(), bytes.end(), mac.begin());
  return mac;
}

base::Result<netlink::Address> ReadAddress(const proto::NetworkCard::Address& message, int link) {
  netlink::Address address;
  address.link = link;
  address.family = TRY(FamilyOf(message.local(), "local"));
  address.local = message.local();
  address.peer = message.peer();
  address.broadcast = message.broadcast();
  address.prefix = TRY(Byte(message.prefix(), "prefix"));
  address.scope = TRY(Byte(message.scope(), "scope"));
  address.flags = kAddressFlags;
  TRY(CheckAddress(address.peer, address.family, "peer"));
  TRY(CheckAddress(address.broadcast, address.family, "broadcast"));
  return address;
}

base::Result<void> ReadCard(const proto::NetworkCard& message, NetworkPlan* plan) {
  netlink::Link card;
  card.name = message.name();
  card.mac = TRY(ReadMac(message.mac()));
  card.mtu = message.mtu();
  card.ipv6 = message.ipv6();
  if (card.name.empty() || card.name.size() >= IF_NAMESIZE) {
    return MakeError(Code::kInvalidArgument, "name \"{}\": must have 1 to {} characters", card.name,
                     IF_NAMESIZE - 1);
  }
  plan->cards.push_back(std::move(card));
  const int link = static_cast<int>(plan->cards.size());
  for (const auto& address : message.addresses()) {
    plan->addresses.push_back(TRY(ReadAddress(address, link), "addresses"));
  }
  for (const auto& neighbour : message.neighbours()) {
    netlink::Neighbour one;
    one.link = link;
    one.family = TRY(FamilyOf(neighbour.address(), "neighbours"));
    one.address = neighbour.address();
    one.mac = TRY(ReadMac(neighbour.mac()), "neighbours");
    one.state = NUD_PERMANENT;
    plan->neighbours.push_back(std::move(one));
  }
  return base::Ok();
}

base::Result<void> ReadNextHop(const proto::NetworkRoute::NextHop& message, size_t cards,
                               netlink::Route* route) {
  if (message.card() >= cards) {
    return MakeError(Code::kInvalidArgument, "card {} of {}", message.card(), cards);
  }
  if (!message.gateway().empty()) TRY(FamilyOf(message.gateway(), "gateway"));
  netlink::NextHop hop;
  hop.link = static_cast<int>(message.card()) + 1;
  hop.gateway = message.gateway();
  hop.onlink = message.onlink();
  hop.weight = TRY(Byte(message.weight(), "weight"));
  route->next_hops.push_back(std::move(hop));
  return base::Ok();
}

base::Result<netlink::Route> ReadRoute(const proto::NetworkRoute& message, size_t cards) {
  netlink::Route route;
  route.family = message.ipv6() ? uint8_t{AF_INET6} : uint8_t{AF_INET};
  route.destination = message.destination();
  route.prefix = TRY(Byte(message.prefix(), "prefix"));
  route.preferred_source = message.preferred_source();
  route.priority = message.priority();
  route.table = RT_TABLE_MAIN;
  route.tos = TRY(Byte(message.tos(), "tos"));
  route.scope = TRY(Byte(message.scope(), "scope"));
  route.type = TRY(Byte(message.type(), "type"));
  route.protocol = TRY(Byte(message.protocol(), "protocol"));
  TRY(CheckAddress(route.destination, route.family, "destination"));
  TRY(CheckAddress(route.preferred_source, route.family, "preferred_source"));
  for (const auto& [type, value] : message.metrics()) {
    if (type > RTAX_MAX) return MakeError(Code::kInvalidArgument, "metrics: {}", type);
    route.metrics[static_cast<uint16_t>(type)] = value;
  }
  for (const auto& hop : message.next_hops()) TRY(ReadNextHop(hop, cards, &route), "next_hops");
  return route;
}

}  // namespace

base::Result<NetworkPlan> ReadNetworkPlan(const proto::ConfigureNetworkRequest& request) {
  NetworkPlan plan;
  for (const auto& card : request.cards()) TRY(ReadCard(card, &plan), "card {}", card.name());
  for (const auto& route : request.routes()) {
    plan.routes.push_back(TRY(ReadRoute(route, plan.cards.size()), "route {}", plan.routes.size()));
  }
  return plan;
}

}  // namespace agent
