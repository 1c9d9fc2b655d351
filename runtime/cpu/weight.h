// OCI CPU shares (cgroup v1, 2 … 262144) as a cgroup v2 weight (1 … 10000). Thread rule: reentrant.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cpu {

// The linear map that runc, crun and systemd-era tools use, so that the same shares mean the same
// beside their containers: 2 → 1, 262144 → 10000 (runc docs/systemd.md; crun.1, "CPU controller").
constexpr uint64_t kMinShares = 2;
constexpr uint64_t kMaxShares = 262144;
constexpr uint64_t WeightFromShares(uint64_t shares) {
  const uint64_t clamped = std::clamp(shares, kMinShares, kMaxShares);
  return 1 + (clamped - 2) * 9999 / 262142;
}

}  // namespace cpu
