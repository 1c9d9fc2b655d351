#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "runtime/netlink/route.h"

namespace netlink {
namespace {

constexpr size_t kIpv4Bytes = 4;

void AddGateway(Message& message, uint8_t family, const std::string& gateway) {
  if (gateway.empty()) return;
  const uint16_t gateway_family = gateway.size() == kIpv4Bytes ? AF_INET : AF_INET6;
  if (gateway_family == family) return message.AddBinary(RTA_GATEWAY, gateway);
  // rtvia: a family of two bytes, and the address.
  std::string via(sizeof(gateway_family), '\0');
  std::memcpy(via.data(), &gateway_family, sizeof(gateway_family));
  message.AddBinary(RTA_VIA, via + gateway);
}

void AddMultipath(Message& message, const Route& route) {
  const size_t nest = message.Begin(RTA_MULTIPATH);
  for (const NextHop& hop : route.next_hops) {
    const size_t at = message.size();
    rtnexthop head{};
    head.rtnh_ifindex = hop.link;
    head.rtnh_hops = hop.weight;
    head.rtnh_flags = hop.onlink ? uint8_t{RTNH_F_ONLINK} : uint8_t{0};
    message.Append(std::as_bytes(std::span(&head, 1)));
    AddGateway(message, route.family, hop.gateway);
    message.SetU16(at, static_cast<uint16_t>(message.size() - at));
  }
  message.End(nest);
}

}  // namespace

base::Result<void> ChangeLink(Socket& socket, int link, const LinkChange& change) {
  ifinfomsg head{};
  head.ifi_index = link;
  if (change.up) {
    head.ifi_change = IFF_UP;
    head.ifi_flags = *change.up ? unsigned{IFF_UP} : 0;
  }
  Message message(RTM_NEWLINK, 0, head);
  if (change.name) message.AddText(IFLA_IFNAME, *change.name);
  if (change.mtu) message.AddValue(IFLA_MTU, *change.mtu);
  if (change.ipv6_link_local) {
    const uint8_t mode = *change.ipv6_link_local ? uint8_t{IN6_ADDR_GEN_MODE_EUI64}
                                                 : uint8_t{IN6_ADDR_GEN_MODE_NONE};
    const size_t spec = message.Begin(IFLA_AF_SPEC);
    const size_t inet6 = message.Begin(AF_INET6);
    message.AddValue(IFLA_INET6_ADDR_GEN_MODE, mode);
    message.End(inet6);
    message.End(spec);
  }
  return socket.Do(std::move(message));
}

base::Result<void> AddAddress(Socket& socket, const Address& address) {
  ifaddrmsg head{};
  head.ifa_family = address.family;
  head.ifa_prefixlen = address.prefix;
  head.ifa_flags = static_cast<uint8_t>(address.flags);
  head.ifa_scope = address.scope;
  head.ifa_index = static_cast<uint32_t>(address.link);
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, head);
  message.AddBinary(IFA_LOCAL, address.local);
  message.AddBinary(IFA_ADDRESS, address.peer.empty() ? address.local : address.peer);
  if (!address.broadcast.empty()) message.AddBinary(IFA_BROADCAST, address.broadcast);
  message.AddValue(IFA_FLAGS, address.flags);
  return socket.Do(std::move(message));
}

base::Result<void> AddRoute(Socket& socket, const Route& route) {
  rtmsg head{};
  head.rtm_family = route.family;
  head.rtm_dst_len = route.prefix;
  head.rtm_tos = route.tos;
  head.rtm_table = RT_TABLE_UNSPEC;  // RTA_TABLE has it whole
  head.rtm_protocol = route.protocol;
  head.rtm_scope = route.scope;
  head.rtm_type = route.type;
  const bool one_hop = route.next_hops.size() == 1;
  if (one_hop && route.next_hops[0].onlink) head.rtm_flags = RTNH_F_ONLINK;
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, head);
  message.AddValue(RTA_TABLE, route.table);
  if (!route.destination.empty()) message.AddBinary(RTA_DST, route.destination);
  if (!route.preferred_source.empty()) message.AddBinary(RTA_PREFSRC, route.preferred_source);
  if (route.priority != 0) message.AddValue(RTA_PRIORITY, route.priority);
  if (!route.metrics.empty()) {
    const size_t nest = message.Begin(RTA_METRICS);
    for (const auto& [type, value] : route.metrics) message.AddValue(type, value);
    message.End(nest);
  }
  if (one_hop) {
    const NextHop& hop = route.next_hops[0];
    if (hop.link != 0) message.AddValue(RTA_OIF, hop.link);
    AddGateway(message, route.family, hop.gateway);
  } else if (!route.next_hops.empty()) {
    AddMultipath(message, route);
  }
  return socket.Do(std::move(message));
}

base::Result<void> SetNeighbour(Socket& socket, const Neighbour& neighbour) {
  ndmsg head{};
  head.ndm_family = neighbour.family;
  head.ndm_ifindex = neighbour.link;
  head.ndm_state = neighbour.state;
  head.ndm_flags = neighbour.flags;
  Message message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, head);
  message.AddBinary(NDA_DST, neighbour.address);
  message.AddValue(NDA_LLADDR, neighbour.mac);
  return socket.Do(std::move(message));
}

}  // namespace netlink
