// Thread rule: reentrant.
#pragma once

#include <ctime>

#include "agent-proto/proto/containerd/types.pb.h"

namespace shim {

inline containerd::Timestamp ToTimestamp(const timespec& time) {
  containerd::Timestamp out;
  out.set_seconds(time.tv_sec);
  out.set_nanos(static_cast<int32_t>(time.tv_nsec));
  return out;
}

}  // namespace shim
