#include "runtime/pod/network.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "agent-proto/proto/agent.pb.h"
#include "runtime/network/netns.h"

namespace pod {
namespace {

namespace proto = pinion::agent::v1;

base::Error HostNetworkError(const std::string& what) {
  return base::MakeError(
      base::Code::kInvalidArgument,
      "{}: the host's network cannot be a guest's. Use a network of the pod's own (ctr run without "
      "--net-host; Kubernetes without hostNetwork), or another runtime for this pod",
      what);
}

void FillCard(const network::Card& card, proto::NetworkCard* message) {
  message->set_mac(card.link.mac.data(), card.link.mac.size());
  message->set_name(card.link.name);
  message->set_mtu(card.link.mtu);
  message->set_ipv6(card.link.ipv6);
  for (const netlink::Address& address : card.addresses) {
    auto* const one = message->add_addresses();
    one->set_local(address.local);
    one->set_peer(address.peer);
    one->set_broadcast(address.broadcast);
    one->set_prefix(address.prefix);
    one->set_scope(address.scope);
  }
  for (const netlink::Neighbour& neighbour : card.neighbours) {
    auto* const one = message->add_neighbours();
    one->set_address(neighbour.address);
    one->set_mac(neighbour.mac.data(), neighbour.mac.size());
  }
}

uint32_t CardOf(const network::Survey& survey, int link) {
  const auto found =
      std::find_if(survey.cards.begin(), survey.cards.end(),
                   [link](const network::Card& card) { return card.link.index == link; });
  return static_cast<uint32_t>(found - survey.cards.begin());
}

void FillRoute(const network::Survey& survey, const netlink::Route& route,
               proto::NetworkRoute* message) {
  message->set_ipv6(route.family == AF_INET6);
  message->set_destination(route.destination);
  message->set_prefix(route.prefix);
  message->set_preferred_source(route.preferred_source);
  message->set_priority(route.priority);
  message->set_tos(route.tos);
  message->set_scope(route.scope);
  message->set_type(route.type);
  message->set_protocol(route.protocol);
  message->mutable_metrics()->insert(route.metrics.begin(), route.metrics.end());
  for (const netlink::NextHop& hop : route.next_hops) {
    auto* const one = message->add_next_hops();
    one->set_card(CardOf(survey, hop.link));
    one->set_gateway(hop.gateway);
    one->set_onlink(hop.onlink);
    one->set_weight(hop.weight);
  }
}

}  // namespace

base::Result<Network> PlanNetwork(const oci::Spec& spec) {
  const std::vector<oci::Namespace>& namespaces = spec.linux_config.namespaces;
  const auto found = std::find_if(namespaces.begin(), namespaces.end(),
                                  [](const oci::Namespace& ns) { return ns.type == "network"; });
  if (found == namespaces.end()) {
    return HostNetworkError("linux.namespaces: none of type network");
  }
  Network network;
  network.path = found->path;
  if (network.path.empty()) {
    network.ns = TRY(network::MakeNamespace());
    return network;
  }
  network.ns = TRY(network::OpenNamespace(network.path), "linux.namespaces");
  const base::UniqueFd own = TRY(network::OwnNamespace());
  if (TRY(network::IdentityOf(network.ns)) == TRY(network::IdentityOf(own))) {
    return HostNetworkError("linux.namespaces: network " + network.path);
  }
  network.survey = TRY(network::SurveyNamespace(network.ns), "network {}", network.path);
  return network;
}

base::Result<std::vector<base::UniqueFd>> JoinNetwork(const Network& network,
                                                      StateDirectory& state) {
  if (network.survey.cards.empty()) return std::vector<base::UniqueFd>();
  NetworkRecord record;
  record.path = network.path;
  record.identity = TRY(network::IdentityOf(network.ns));
  for (const network::Card& card : network.survey.cards) record.links.push_back(card.link.name);
  state.record().network = record;
  TRY(state.Save());
  base::Result<std::vector<base::UniqueFd>> taps = network::Join(network.ns, network.survey);
  if (taps) return taps;
  // Nothing of ours is there, and what is may be another's.
  state.record().network.reset();
  TRY(state.Save());
  taps.error().Push(__FILE__, __LINE__, "network {}", network.path);
  return taps;
}

base::Result<JoinedNetwork> JoinWhatCameLater(base::BorrowedFd ns) {
  JoinedNetwork network;
  network.survey = TRY(network::SurveyNamespace(ns), "what came into the network namespace");
  if (network.survey.cards.empty()) return network;
  network.taps = TRY(network::Join(ns, network.survey), "network");
  return network;
}

void FillNetworkRequest(const network::Survey& survey, proto::ConfigureNetworkRequest* request) {
  for (const network::Card& card : survey.cards) FillCard(card, request->add_cards());
  for (const netlink::Route& route : survey.routes) {
    FillRoute(survey, route, request->add_routes());
  }
}

}  // namespace pod
