// The guest's network cards: their names, addresses, routes and neighbours, as the host's links of
// the pod have them.
//
// Thread rule: acts on the caller's network namespace; blocks while the kernel works.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/netlink/route.h"

namespace pinion::agent::v1 {
class ConfigureNetworkRequest;
}

namespace agent {

// The request as netlink has it. Indices of links are places in `cards`, counted from 1, until the
// guest's own are known.
struct NetworkPlan {
  std::vector<netlink::Link> cards;
  std::vector<netlink::Address> addresses;
  std::vector<netlink::Neighbour> neighbours;
  std::vector<netlink::Route> routes;
};

// kInvalidArgument, naming what cannot be.
base::Result<NetworkPlan> ReadNetworkPlan(
    const pinion::agent::v1::ConfigureNetworkRequest& request);

// Once in a guest's life, as late as there is a container to start. kNotFound if a card has not
// come.
base::Result<void> ApplyNetworkPlan(NetworkPlan plan);

}  // namespace agent
