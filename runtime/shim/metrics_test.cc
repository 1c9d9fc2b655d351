#include "runtime/shim/metrics.h"

#include <gtest/gtest.h>

#include "agent-proto/proto/containerd/metrics_v1.pb.h"
#include "agent-proto/proto/containerd/metrics_v2.pb.h"

namespace shim {
namespace {

pod::ContainerStats Stats() {
  pod::ContainerStats stats;
  stats.values = {{"pids.current", 3},         {"cpu.stat/usage_usec", 1500},
                  {"cpu.stat/user_usec", 500}, {"memory.current", 8192},
                  {"memory.max", 65536},       {"memory.stat/anon", 4096},
                  {"memory.stat/file", 100},   {"memory.stat/inactive_file", 50},
                  {"memory.stat/pgfault", 7},  {"memory.events/oom_kill", 1}};
  stats.io = {{8, 16, 1, 2, 3, 4}};
  return stats;
}

TEST(Metrics, Version2) {
  const containerd::Any any = ToMetrics(Stats(), MetricsVersion::kV2);
  EXPECT_EQ(any.type_url(), "io.containerd.cgroups.v2.Metrics");
  io::containerd::cgroups::v2::Metrics metrics;
  ASSERT_TRUE(metrics.ParseFromString(any.value()));
  EXPECT_EQ(metrics.pids().current(), 3U);
  EXPECT_EQ(metrics.pids().limit(), 0U);
  EXPECT_EQ(metrics.cpu().usage_usec(), 1500U);
  EXPECT_EQ(metrics.memory().usage(), 8192U);
  EXPECT_EQ(metrics.memory().usage_limit(), 65536U);
  EXPECT_EQ(metrics.memory().swap_limit(), ~uint64_t{0}) << "absent: no limit";
  EXPECT_EQ(metrics.memory().inactive_file(), 50U);
  EXPECT_EQ(metrics.memory_events().oom_kill(), 1U);
  EXPECT_EQ(metrics.io().usage(0).minor(), 16U);
}

TEST(Metrics, Version1) {
  const containerd::Any any = ToMetrics(Stats(), MetricsVersion::kV1);
  EXPECT_EQ(any.type_url(), "io.containerd.cgroups.v1.Metrics");
  io::containerd::cgroups::v1::Metrics metrics;
  ASSERT_TRUE(metrics.ParseFromString(any.value()));
  EXPECT_EQ(metrics.cpu().usage().total(), 1500000U) << "nanoseconds";
  EXPECT_EQ(metrics.memory().usage().usage(), 8192U);
  EXPECT_EQ(metrics.memory().total_rss(), 4096U);
  EXPECT_EQ(metrics.memory().total_inactive_file(), 50U);
  EXPECT_EQ(metrics.memory().total_pg_fault(), 7U);
  EXPECT_EQ(metrics.memory_oom_control().oom_kill(), 1U);
  EXPECT_EQ(metrics.blkio().io_service_bytes_recursive(1).value(), 2U);
}

// A container whose machine has ended has no numbers; the message is there all the same.
TEST(Metrics, NoNumbersAreZeros) {
  for (const MetricsVersion version : {MetricsVersion::kV1, MetricsVersion::kV2}) {
    EXPECT_FALSE(ToMetrics({}, version).value().empty());
  }
}

}  // namespace
}  // namespace shim
