// The network of a pod: what CNI made in the pod's network namespace on the host, and joining it to
// network cards of the guest.
//
//   outside ──► veth "eth0" ──ingress: redirect──► tap "pinion0" ──► the guest's "eth0"
//           ◄──                ◄──redirect: ingress──             ◄──
//
// The guest gets the link's MAC address, MTU, addresses, routes and neighbours. They stay on the
// link, too, where CNI, metrics and hooks look for them; the namespace's own network never sees a
// frame that comes in, so it does not answer for them.
//
// Thread rule: reentrant; blocks.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/netlink/route.h"

namespace network {

// As many taps as fit beside the other descriptors of Configure (vmm_control.proto).
inline constexpr size_t kMaxCards = 3;
// Together below what one message to the agent takes.
inline constexpr size_t kMaxEntries = 4096;

struct Card {
  netlink::Link link;
  std::vector<netlink::Address> addresses;
  std::vector<netlink::Neighbour> neighbours;  // those that do not age
};

// What a namespace holds that is to be the guest's.
struct Survey {
  std::vector<Card> cards;
  std::vector<netlink::Route> routes;  // in the order in which they can be made
  std::vector<std::string> notes;      // what was left out, a sentence each
};

// Reads it; nothing is changed. kUnimplemented for links that a card cannot stand for,
// kFailedPrecondition for one whose frames go elsewhere already.
base::Result<Survey> SurveyNamespace(base::BorrowedFd ns);

// A tap for each card, in order, joined to its link. What was made before a failure is undone, and
// nothing else: also if another machine joined the namespace meanwhile.
base::Result<std::vector<base::UniqueFd>> Join(base::BorrowedFd ns, const Survey& survey);

// What Join changed in namespace `identity`, undone, if `path` still is that one: the taps go with
// their descriptors. Idempotent; what is gone already is no error.
base::Result<void> Leave(const std::string& path, ino_t identity,
                         const std::vector<std::string>& links);

}  // namespace network
