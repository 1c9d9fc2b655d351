// The pod's network as its machine is made: which namespace of the host it is, and joining it.
//
// Thread rule: reentrant, blocks; runs on the worker. FillNetworkRequest is a pure function.
#pragma once

#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/network/pod_network.h"
#include "runtime/pod/state_directory.h"

namespace pinion::agent::v1 {
class ConfigureNetworkRequest;
}

namespace pod {

struct Network {
  std::string path;   // empty: made for this pod, and goes with its last descriptor
  base::UniqueFd ns;  // also the anchors'
  network::Survey survey;
};

// What `spec`, that of a pod's first container, asks for; nothing is joined. kInvalidArgument for
// the host's network.
base::Result<Network> PlanNetwork(const oci::Spec& spec);

// A tap for each card of the survey. On `state`'s record before it is made.
base::Result<std::vector<base::UniqueFd>> JoinNetwork(const Network& network,
                                                      StateDirectory& state);

struct JoinedNetwork {
  network::Survey survey;
  std::vector<base::UniqueFd> taps;  // one for each card
};
// The same, for a namespace without a path that others may have filled since the pod was made. Not
// on record: it goes with its processes, and what was changed in it, too.
base::Result<JoinedNetwork> JoinWhatCameLater(base::BorrowedFd ns);

void FillNetworkRequest(const network::Survey& survey,
                        pinion::agent::v1::ConfigureNetworkRequest* request);

}  // namespace pod
