#include "runtime/network/pod_network.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/network/netns.h"
#include "runtime/network/tap.h"
#include "runtime/network/traffic_control.h"

namespace network {
namespace {

using base::Code;
using base::MakeError;

constexpr const char* kLoopback = "lo";
constexpr uint32_t kMaxMtu = 65535;  // virtio 1.2, 5.1.4: 16 bits

std::string TapName(size_t card) { return fmt::format("pinion{}", card); }

bool IsInternet(uint8_t family) { return family == AF_INET || family == AF_INET6; }

base::Result<void> SurveyLinks(netlink::Socket& socket, Survey* survey) {
  for (netlink::Link& link : TRY(netlink::ReadLinks(socket))) {
    if (link.name == kLoopback) continue;
    // Kernels put some of their own into each namespace: tunl0, sit0, ip6tnl0…
    if (!link.up) {
      survey->notes.push_back(fmt::format("link {} is down: the guest does not get it", link.name));
      continue;
    }
    if (!link.ethernet) {
      return MakeError(Code::kUnimplemented,
                       "link {}: not Ethernet: the guest's cards are, and cannot stand for it",
                       link.name);
    }
    if (TRY(HasIngress(socket, link.index), "link {}", link.name)) {
      return MakeError(Code::kFailedPrecondition,
                       "link {}: it has filters on what comes in (an ingress or clsact queueing "
                       "discipline): another machine uses it, or somebody else does",
                       link.name);
    }
    for (const Card& other : survey->cards) {
      if (other.link.mac == link.mac) {
        return MakeError(Code::kUnimplemented,
                         "links {} and {} have one MAC address, by which the guest knows its cards",
                         other.link.name, link.name);
      }
    }
    if (survey->cards.size() == kMaxCards) {
      return MakeError(Code::kUnimplemented, "link {}: a guest has at most {} network cards",
                       link.name, kMaxCards);
    }
    link.mtu = std::min(link.mtu, kMaxMtu);
    survey->cards.push_back({.link = std::move(link), .addresses = {}, .neighbours = {}});
  }
  return base::Ok();
}

Card* CardOf(Survey* survey, int link) {
  for (Card& card : survey->cards) {
    if (card.link.index == link) return &card;
  }
  return nullptr;
}

base::Result<void> SurveyAddresses(netlink::Socket& socket, Survey* survey) {
  for (netlink::Address& address : TRY(netlink::ReadAddresses(socket))) {
    Card* const card = CardOf(survey, address.link);
    if (card == nullptr || !IsInternet(address.family)) continue;
    // What a router's advertisements gave, they will give the guest: it has the same MAC address.
    if ((address.flags & IFA_F_PERMANENT) == 0) continue;
    card->addresses.push_back(std::move(address));
  }
  for (netlink::Neighbour& neighbour : TRY(netlink::ReadNeighbours(socket))) {
    Card* const card = CardOf(survey, neighbour.link);
    if (card == nullptr || !IsInternet(neighbour.family)) continue;
    // The others, the guest learns as the host did.
    if ((neighbour.state & NUD_PERMANENT) == 0 || (neighbour.flags & NTF_PROXY) != 0) continue;
    card->neighbours.push_back(std::move(neighbour));
  }
  return base::Ok();
}

bool IsOfCards(Survey* survey, const netlink::Route& route) {
  return std::all_of(
      route.next_hops.begin(), route.next_hops.end(),
      [survey](const netlink::NextHop& hop) { return CardOf(survey, hop.link) != nullptr; });
}

bool HasGateway(const netlink::Route& route) {
  return std::any_of(route.next_hops.begin(), route.next_hops.end(),
                     [](const netlink::NextHop& hop) { return !hop.gateway.empty(); });
}

base::Result<void> SurveyRoutes(netlink::Socket& socket, Survey* survey) {
  size_t elsewhere = 0;
  for (netlink::Route& route : TRY(netlink::ReadRoutes(socket))) {
    if (!IsInternet(route.family) || route.cloned || route.table == RT_TABLE_LOCAL) continue;
    if (route.protocol == RTPROT_RA || route.protocol == RTPROT_REDIRECT) continue;
    // lo's, and those of links that are left out.
    if (!IsOfCards(survey, route)) continue;
    if (route.table != RT_TABLE_MAIN) {
      ++elsewhere;
      continue;
    }
    survey->routes.push_back(std::move(route));
  }
  if (elsewhere != 0) {
    survey->notes.push_back(
        fmt::format("{} routes of other tables than main, and the rules that lead to them, are not "
                    "taken over",
                    elsewhere));
  }
  // A gateway must be reachable when its route is made.
  std::stable_partition(survey->routes.begin(), survey->routes.end(),
                        [](const netlink::Route& route) { return !HasGateway(route); });
  return base::Ok();
}

base::Result<void> CheckSize(const Survey& survey) {
  size_t entries = survey.routes.size();
  for (const Card& card : survey.cards) entries += card.addresses.size() + card.neighbours.size();
  if (entries <= kMaxEntries) return base::Ok();
  return MakeError(Code::kResourceExhausted,
                   "{} addresses, routes and neighbours: a guest takes at most {}", entries,
                   kMaxEntries);
}

// No such path any more, or no namespace at it: one that cannot be opened for another reason,
// EMFILE say, may well be there.
bool IsGone(const base::Error& error) {
  const int number = error.error_number();
  return number == ENOENT || number == ENOTDIR || number == ESRCH ||
         error.code() == Code::kInvalidArgument;
}

base::Result<base::UniqueFd> JoinCard(netlink::Socket& socket, const netlink::Link& link,
                                      const std::string& tap_name) {
  base::UniqueFd tap = TRY(MakeTap(tap_name));
  int index = 0;
  for (const netlink::Link& one : TRY(netlink::ReadLinks(socket))) {
    if (one.name == tap_name) index = one.index;
  }
  // The namespace's own IPv6 must not speak to the guest; a kernel without IPv6 refuses the wish.
  base::Result<void> silent = netlink::ChangeLink(socket, index, {.ipv6_link_local = false});
  if (!silent && silent.error().error_number() != EAFNOSUPPORT) {
    return std::move(silent.error());
  }
  TRY(netlink::ChangeLink(socket, index, {.mtu = link.mtu, .up = true}), "{}", tap_name);
  TRY(AddIngress(socket, index), "{}", tap_name);
  TRY(AddRedirect(socket, index, link.index), "{}", tap_name);
  TRY(AddIngress(socket, link.index), "link {}", link.name);
  base::Result<void> redirected = AddRedirect(socket, link.index, index);
  if (redirected) return tap;
  static_cast<void>(RemoveIngress(socket, link.index));
  redirected.error().Push(__FILE__, __LINE__, "link {}", link.name);
  return std::move(redirected.error());
}

}  // namespace

base::Result<Survey> SurveyNamespace(base::BorrowedFd ns) {
  Survey survey;
  base::Result<void> surveyed = RunIn(ns, [&survey]() -> base::Result<void> {
    netlink::Socket socket = TRY(netlink::Socket::Open());
    TRY(SurveyLinks(socket, &survey));
    TRY(SurveyAddresses(socket, &survey));
    TRY(SurveyRoutes(socket, &survey));
    return CheckSize(survey);
  });
  if (!surveyed) return std::move(surveyed.error());
  return survey;
}

base::Result<std::vector<base::UniqueFd>> Join(base::BorrowedFd ns, const Survey& survey) {
  std::vector<base::UniqueFd> taps;
  base::Result<void> joined = RunIn(ns, [&]() -> base::Result<void> {
    netlink::Socket socket = TRY(netlink::Socket::Open());
    for (const Card& card : survey.cards) {
      base::Result<base::UniqueFd> tap = JoinCard(socket, card.link, TapName(taps.size()));
      if (tap) {
        taps.push_back(std::move(*tap));
        continue;
      }
      for (size_t i = 0; i < taps.size(); ++i) {
        static_cast<void>(RemoveIngress(socket, survey.cards[i].link.index));
      }
      return std::move(tap.error());
    }
    return base::Ok();
  });
  if (!joined) return std::move(joined.error());
  return taps;
}

base::Result<void> Leave(const std::string& path, ino_t identity,
                         const std::vector<std::string>& links) {
  base::Result<base::UniqueFd> ns = OpenNamespace(path);
  // Gone, or another by now: the links went with it.
  if (!ns && IsGone(ns.error())) return base::Ok();
  if (!ns) return std::move(ns.error());
  if (TRY(IdentityOf(*ns)) != identity) return base::Ok();
  return RunIn(*ns, [&links]() -> base::Result<void> {
    netlink::Socket socket = TRY(netlink::Socket::Open());
    for (const netlink::Link& link : TRY(netlink::ReadLinks(socket))) {
      if (std::find(links.begin(), links.end(), link.name) == links.end()) continue;
      TRY(RemoveIngress(socket, link.index), "link {}", link.name);
    }
    return base::Ok();
  });
}

}  // namespace network
