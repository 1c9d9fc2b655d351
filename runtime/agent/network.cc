#include "runtime/agent/network.h"

#include <algorithm>
#include <utility>

#include "runtime/base/file.h"

namespace agent {
namespace {

using base::Code;
using base::MakeError;

// A slot of virtio-mmio that was empty when its driver looked is not looked at again by itself: a
// card that came late is in one of those without a driver. They are named by virtio's _HID and a
// count (Linux drivers/acpi/scan.c, acpi_device_set_name).
constexpr const char* kBind = "/sys/bus/platform/drivers/virtio-mmio/bind";
constexpr size_t kMaxSlots = 16;

void LookAtEmptySlotsAgain() {
  for (size_t slot = 0; slot < kMaxSlots; ++slot) {
    // Refused where there is no such slot, where it is still empty and where it has its driver.
    static_cast<void>(base::WriteFile(kBind, fmt::format("LNRO0005:{:02x}", slot)));
  }
}

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
  base::Result<void> found = FindCards(socket, &plan.cards);
  if (!found && found.error().code() == Code::kNotFound) {
    LookAtEmptySlotsAgain();
    found = FindCards(socket, &plan.cards);
  }
  TRY(std::move(found));
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
