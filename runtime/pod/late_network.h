// A network that comes after its pod was made: looked for by whoever needs it, joined once.
//
// Two containers of a pod may start at the same moment, and both look. One look at a time: who asks
// while one is under way gets its outcome if it ends in a network, joined or failed to be, and else
// a look of his own, because what came may have come since that look read the namespace. A failed
// join is final: half of it may have been done, and no container is to go on without its network.
//
// Thread rule: reactor-bound; the functions given may answer later, or at once.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/pod/network.h"

namespace pod {

class LateNetwork {
 public:
  using DoneCallback = std::function<void(base::Result<void>)>;
  // What came, with no cards if nothing has. May be called again after that, or after an error.
  using Look = std::function<void(std::function<void(base::Result<JoinedNetwork>)> done)>;
  // Gives the cards to the guest. Called once.
  using Plug = std::function<void(JoinedNetwork network, DoneCallback done)>;

  LateNetwork(Look look, Plug plug) : look_(std::move(look)), plug_(std::move(plug)) {}
  LateNetwork(const LateNetwork&) = delete;
  LateNetwork& operator=(const LateNetwork&) = delete;

  // `done` is called once: success means that what has come, if anything, is the guest's.
  void Join(DoneCallback done);

 private:
  void LookFor(std::vector<DoneCallback> askers);
  void Answer(const std::vector<DoneCallback>& askers, const base::Result<void>& result);
  void Settle(std::vector<DoneCallback> askers, base::Result<void> outcome);

  const Look look_;
  const Plug plug_;
  bool looking_ = false;
  std::vector<DoneCallback> waiting_;          // for the look under way
  std::optional<base::Result<void>> outcome_;  // of the one join
};

}  // namespace pod
