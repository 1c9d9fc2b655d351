#include "runtime/pod/late_network.h"

#include <utility>

namespace pod {
namespace {

base::Result<void> CopyOf(const base::Result<void>& result) {
  if (result) return base::Ok();
  const base::Error& error = result.error();
  return base::Error(error.code(), error.Message(), error.error_number());
}

}  // namespace

void LateNetwork::Join(DoneCallback done) {
  if (outcome_) return done(CopyOf(*outcome_));
  if (looking_) {
    waiting_.push_back(std::move(done));
    return;
  }
  LookFor({std::move(done)});
}

void LateNetwork::LookFor(std::vector<DoneCallback> askers) {
  looking_ = true;
  look_([this, askers = std::move(askers)](base::Result<JoinedNetwork> found) mutable {
    if (!found) return Answer(askers, std::move(found.error()));
    if (found->taps.empty()) return Answer(askers, base::Ok());
    plug_(std::move(*found), [this, askers = std::move(askers)](base::Result<void> plugged) {
      Settle(askers, std::move(plugged));
    });
  });
}

void LateNetwork::Settle(std::vector<DoneCallback> askers, base::Result<void> outcome) {
  outcome_ = std::move(outcome);
  askers.insert(askers.end(), waiting_.begin(), waiting_.end());
  waiting_.clear();
  Answer(askers, *outcome_);
}

void LateNetwork::Answer(const std::vector<DoneCallback>& askers,
                         const base::Result<void>& result) {
  // The next look first: one of those answered may ask again.
  looking_ = false;
  if (!waiting_.empty()) LookFor(std::exchange(waiting_, {}));
  for (const DoneCallback& done : askers) done(CopyOf(result));
}

}  // namespace pod
