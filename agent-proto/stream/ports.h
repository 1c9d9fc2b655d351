// The vsock ports on which the host listens and the guest dials (CID 2).
#pragma once

#include <cstdint>

namespace stream {

// One connection; the agent is then the ttrpc server on it.
inline constexpr uint32_t kAgentPort = 1024;
// One connection per stdio stream, opened by a StreamHello (agent.proto).
inline constexpr uint32_t kStreamPort = 1025;

}  // namespace stream
