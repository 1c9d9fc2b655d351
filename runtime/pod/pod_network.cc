// Pod: a network that comes after Create.
//
// A pod whose network namespace has no path has one of its own, with nothing in it. By the task's
// pid, others may put a network there: hooks of creation (nerdctl's, docker's), or a client between
// Create and Start (`ctr run --cni`). So it is looked at when such hooks have run, and at Start.
//
//   survey, join (worker) ─► vmm: PlugNet, a card each ─► agent: ConfigureNetwork
#include <utility>

#include "runtime/base/log.h"
#include "runtime/pod/network.h"
#include "runtime/pod/pod_impl.h"

namespace pod {

void Pod::JoinLateNetwork(DoneCallback done) {
  if (!network_comes_later_) return done(base::Ok());
  worker_.Compute<base::Result<JoinedNetwork>>(
      [ns = base::BorrowedFd(network_ns_)] { return JoinWhatCameLater(ns); },
      [this, done = std::move(done)](base::Result<JoinedNetwork> network) {
        if (!network) return done(std::move(network.error()));
        for (const std::string& note : network->survey.notes) {
          LOG_INFO("pod {}: {}", options_.pod_id, note);
        }
        if (network->taps.empty()) return done(base::Ok());
        if (!machine_running()) return done(MachineEnded());
        // One that failed is not forgotten: another Start is not to go on without it.
        machine_->PlugNetwork(std::move(network->survey), std::move(network->taps),
                              [this, done](base::Result<void> plugged) {
                                if (plugged) network_comes_later_ = false;
                                done(std::move(plugged));
                              });
      });
}

}  // namespace pod
