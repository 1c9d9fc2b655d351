// A container's numbers as containerd's metrics messages. Thread rule: pure.
#pragma once

#include "agent-proto/proto/containerd/types.pb.h"
#include "runtime/pod/pod.h"

namespace shim {

// Of which cgroup version the message is: containerd's collector wants its host's, CRI and ctr take
// either. The guest's numbers are always those of version 2.
enum class MetricsVersion { kV1, kV2 };

containerd::Any ToMetrics(const pod::ContainerStats& stats, MetricsVersion version);

}  // namespace shim
