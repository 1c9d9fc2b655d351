#include "runtime/agent/network.h"

#include <algorithm>
#include <utility>

#include "runtime/base/file.h"

namespace agent {
namespace {

using base::Code;
using base::MakeError;

// Cards by MAC address; those of the guest that nobody asked for stay as they are.
base::Result<void> FindCards(netlink::Socket& socket, std::vector<netlink::Link>* cards) {
  const std::vector<netlink::Link> links = TRY(netlink::ReadLinks(socket));
  for (netlink::Link& card : *cards) {
    const auto found = std::find_if(links.begin(), links.end(), [&](const netlink::Link& link) {
      return link.ethernet && link.mac == card.mac;
    });
    if (found == links.end()) {
      return MakeError(Code::kNotFound,
                       "card {}: the guest has none with its MAC address "
                       "(kernel module virtio_net)",
                       card.name);
    }
    card.index = found->index;
  }
  return base::Ok();
}

// By way of names that nobody has: the one that a card is to have may be another's so far.
base::Result<void> NameCards(netlink::Socket& socket, const std::vector<netlink::Link>& cards) {
  for (const netlink::Link& card : cards) {
    TRY(netlink::ChangeLink(socket, card.index, {.name = fmt::format("pinion{}", card.index)}),
        "card {}", card.name);
  }
  for (const netlink::Link& card : cards) {
    TRY(netlink::ChangeLink(socket, card.index, {.name = card.name}), "card {}", card.name);
  }
  return base::Ok();
}

base::Result<void> SilenceIpv6(const netlink::Link& card) {
  base::Result<void> written =
      base::WriteFile("/proc/sys/net/ipv6/conf/" + card.name + "/disable_ipv6", "1");
  // A kernel without IPv6 is silent as it is.
  if (written || written.error().error_number() == ENOENT) return base::Ok();
  return written;
}

// What the kernel made by itself is as good.
base::Result<void> Unless(base::Result<void> made, Code code) {
  if (!made && made.error().code() == code) return base::Ok();
  return made;
}

}  // namespace

base::Result<void> ApplyNetworkPlan(NetworkPlan plan) {
  netlink::Socket socket = TRY(netlink::Socket::Open());
  TRY(FindCards(socket, &plan.cards));
  TRY(NameCards(socket, plan.cards));
  const auto index_of = [&plan](int link) {
    return plan.cards[static_cast<size_t>(link) - 1].index;
  };
  for (const netlink::Link& card : plan.cards) {
    if (!card.ipv6) TRY(SilenceIpv6(card), "card {}", card.name);
    TRY(netlink::ChangeLink(socket, card.index, {.mtu = card.mtu}), "card {}", card.name);
  }
  // Before the cards are up: an IPv6 link-local address that is there need not be made, and waited
  // for.
  for (netlink::Address& address : plan.addresses) {
    address.link = index_of(address.link);
    TRY(Unless(netlink::AddAddress(socket, address), Code::kAlreadyExists), "address");
  }
  for (const netlink::Link& card : plan.cards) {
    TRY(netlink::ChangeLink(socket, card.index, {.up = true}), "card {}", card.name);
  }
  for (netlink::Route& route : plan.routes) {
    for (netlink::NextHop& hop : route.next_hops) hop.link = index_of(hop.link);
    TRY(Unless(netlink::AddRoute(socket, route), Code::kAlreadyExists), "route");
  }
  for (netlink::Neighbour& neighbour : plan.neighbours) {
    neighbour.link = index_of(neighbour.link);
    TRY(netlink::SetNeighbour(socket, neighbour), "neighbour");
  }
  return base::Ok();
}

}  // namespace agent
