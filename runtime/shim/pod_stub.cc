// Stands in for runtime/pod until that room is built.
#include "runtime/pod/pod.h"

namespace pod {

base::Result<std::unique_ptr<PodInterface>> CreatePod(base::EventLoop&, PodOptions options,
                                                      std::function<void(const Event&)>) {
  return base::MakeError(base::Code::kUnimplemented, "pod {}: this build has no runtime/pod",
                         options.pod_id);
}

base::Result<DeleteInfo> CleanUp(const std::string&, const std::string&, const std::string&) {
  DeleteInfo info;
  info.exit_status = 137;
  clock_gettime(CLOCK_REALTIME, &info.exited_at);
  return info;
}

}  // namespace pod
