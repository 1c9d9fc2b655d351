// Pod: a network that comes after Create.
//
// A pod whose network namespace has no path has one of its own, with nothing in it. By the task's
// pid, others may put a network there: hooks of creation (nerdctl's, docker's), or a client between
// Create and Start (`ctr run --cni`). So it is looked at when such hooks have run, and at Start.
//
//   survey, join (worker) ─► vmm: PlugNet, a card each ─► agent: ConfigureNetwork
#include <memory>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/pod/late_network.h"
#include "runtime/pod/network.h"
#include "runtime/pod/pod_impl.h"

namespace pod {

void Pod::ExpectLateNetwork() {
  late_network_ = std::make_unique<LateNetwork>(
      [this](std::function<void(base::Result<JoinedNetwork>)> done) {
        // Behind the pod's removal on the worker, there would be no namespace any more.
        if (!machine_running()) return done(MachineEnded());
        worker_.Compute<base::Result<JoinedNetwork>>(
            [ns = base::BorrowedFd(network_ns_)] { return JoinWhatCameLater(ns); },
            std::move(done));
      },
      [this](JoinedNetwork network, DoneCallback done) {
        for (const std::string& note : network.survey.notes) {
          LOG_INFO("pod {}: {}", options_.pod_id, note);
        }
        if (!machine_running()) return done(MachineEnded());
        machine_->PlugNetwork(std::move(network.survey), std::move(network.taps), std::move(done));
      });
}

void Pod::JoinLateNetwork(DoneCallback done) {
  if (!late_network_) return done(base::Ok());
  late_network_->Join(std::move(done));
}

}  // namespace pod
