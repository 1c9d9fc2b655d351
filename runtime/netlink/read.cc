#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "runtime/netlink/route.h"

namespace netlink {
namespace {

MacAddress MacOf(std::span<const std::byte> bytes) {
  MacAddress mac{};
  if (bytes.size() == mac.size()) std::memcpy(mac.data(), bytes.data(), mac.size());
  return mac;
}

// IFLA_INET6_CONF: the sysctls of net.ipv6.conf.LINK as an array of 32-bit numbers.
bool HasIpv6(const Attributes& attributes) {
  const Attributes inet6 = attributes.Nest(IFLA_AF_SPEC).Nest(AF_INET6);
  const std::span<const std::byte> conf = inet6.Bytes(IFLA_INET6_CONF);
  constexpr size_t kAt = size_t{DEVCONF_DISABLE_IPV6} * sizeof(int32_t);
  if (conf.size() < kAt + sizeof(int32_t)) return false;
  int32_t disabled = 0;
  std::memcpy(&disabled, conf.data() + kAt, sizeof(disabled));
  return disabled == 0;
}

bool Onlink(unsigned flags) { return (flags & RTNH_F_ONLINK) != 0; }

std::string GatewayOf(const Attributes& attributes) {
  if (attributes.Has(RTA_GATEWAY)) return attributes.Binary(RTA_GATEWAY);
  // rtvia: a family of two bytes, and the address.
  const std::string via = attributes.Binary(RTA_VIA);
  return via.size() > sizeof(uint16_t) ? via.substr(sizeof(uint16_t)) : std::string();
}

std::vector<NextHop> MultipathOf(std::span<const std::byte> bytes) {
  std::vector<NextHop> hops;
  while (bytes.size() >= sizeof(rtnexthop)) {
    rtnexthop head;
    std::memcpy(&head, bytes.data(), sizeof(head));
    if (head.rtnh_len < sizeof(head) || head.rtnh_len > bytes.size()) break;
    const Attributes attributes(bytes.subspan(sizeof(head), head.rtnh_len - sizeof(head)));
    hops.push_back({.link = head.rtnh_ifindex,
                    .gateway = GatewayOf(attributes),
                    .onlink = Onlink(head.rtnh_flags),
                    .weight = head.rtnh_hops});
    bytes = bytes.subspan(std::min<size_t>(RTNH_ALIGN(head.rtnh_len), bytes.size()));
  }
  return hops;
}

Route RouteOf(const Reply& reply) {
  const auto head = reply.Head<rtmsg>();
  const auto attributes = reply.After<rtmsg>();
  Route route{.family = head.rtm_family,
              .destination = attributes.Binary(RTA_DST),
              .prefix = head.rtm_dst_len,
              .preferred_source = attributes.Binary(RTA_PREFSRC),
              .priority = attributes.U32(RTA_PRIORITY),
              .table = attributes.Has(RTA_TABLE) ? attributes.U32(RTA_TABLE) : head.rtm_table,
              .tos = head.rtm_tos,
              .scope = head.rtm_scope,
              .type = head.rtm_type,
              .protocol = head.rtm_protocol,
              .cloned = (head.rtm_flags & RTM_F_CLONED) != 0};
  const Attributes metrics = attributes.Nest(RTA_METRICS);
  for (const auto& [type, bytes] : metrics.all()) {
    // RTAX_CC_ALGO alone is no number.
    if (type != RTAX_CC_ALGO && bytes.size() == 4) route.metrics[type] = metrics.U32(type);
  }
  if (attributes.Has(RTA_MULTIPATH)) {
    route.next_hops = MultipathOf(attributes.Bytes(RTA_MULTIPATH));
  } else if (attributes.Has(RTA_OIF) || !GatewayOf(attributes).empty()) {
    route.next_hops.push_back({.link = static_cast<int>(attributes.U32(RTA_OIF)),
                               .gateway = GatewayOf(attributes),
                               .onlink = Onlink(head.rtm_flags)});
  }
  return route;
}

}  // namespace

base::Result<std::vector<Link>> ReadLinks(Socket& socket) {
  std::vector<Link> links;
  for (const Reply& reply :
       TRY(socket.Dump(Message(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{})), "links")) {
    if (reply.type != RTM_NEWLINK) continue;
    const auto head = reply.Head<ifinfomsg>();
    const auto attributes = reply.After<ifinfomsg>();
    links.push_back({.index = head.ifi_index,
                     .name = attributes.Text(IFLA_IFNAME),
                     .ethernet = head.ifi_type == ARPHRD_ETHER,
                     .up = (head.ifi_flags & IFF_UP) != 0,
                     .mac = MacOf(attributes.Bytes(IFLA_ADDRESS)),
                     .mtu = attributes.U32(IFLA_MTU),
                     .ipv6 = HasIpv6(attributes)});
  }
  return links;
}

base::Result<std::vector<Address>> ReadAddresses(Socket& socket) {
  std::vector<Address> addresses;
  for (const Reply& reply :
       TRY(socket.Dump(Message(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{})), "addresses")) {
    if (reply.type != RTM_NEWADDR) continue;
    const auto head = reply.Head<ifaddrmsg>();
    const auto attributes = reply.After<ifaddrmsg>();
    Address address{
        .link = static_cast<int>(head.ifa_index),
        .family = head.ifa_family,
        .local = attributes.Binary(IFA_LOCAL),
        .peer = attributes.Binary(IFA_ADDRESS),
        .broadcast = attributes.Binary(IFA_BROADCAST),
        .prefix = head.ifa_prefixlen,
        .scope = head.ifa_scope,
        .flags = attributes.Has(IFA_FLAGS) ? attributes.U32(IFA_FLAGS) : head.ifa_flags};
    // IFA_ADDRESS alone is the local one; with IFA_LOCAL it is the peer, or the same once more.
    if (address.local.empty()) address.local = address.peer;
    if (address.peer == address.local) address.peer.clear();
    addresses.push_back(std::move(address));
  }
  return addresses;
}

base::Result<std::vector<Route>> ReadRoutes(Socket& socket) {
  std::vector<Route> routes;
  for (const Reply& reply :
       TRY(socket.Dump(Message(RTM_GETROUTE, NLM_F_DUMP, rtmsg{})), "routes")) {
    if (reply.type == RTM_NEWROUTE) routes.push_back(RouteOf(reply));
  }
  return routes;
}

base::Result<std::vector<Neighbour>> ReadNeighbours(Socket& socket) {
  std::vector<Neighbour> neighbours;
  for (const Reply& reply :
       TRY(socket.Dump(Message(RTM_GETNEIGH, NLM_F_DUMP, ndmsg{})), "neighbours")) {
    if (reply.type != RTM_NEWNEIGH) continue;
    const auto head = reply.Head<ndmsg>();
    const auto attributes = reply.After<ndmsg>();
    neighbours.push_back({.link = head.ndm_ifindex,
                          .family = head.ndm_family,
                          .address = attributes.Binary(NDA_DST),
                          .mac = MacOf(attributes.Bytes(NDA_LLADDR)),
                          .state = head.ndm_state,
                          .flags = head.ndm_flags});
  }
  return neighbours;
}

}  // namespace netlink
