#include "runtime/pod/sum_stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace pod {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

ContainerStats With(std::map<std::string, uint64_t> values) { return {std::move(values), {}}; }

TEST(SumStats, UsageAddsUpButNoLimits) {
  ContainerStats sum;
  AddStats(With({{"memory.current", 5}, {"memory.max", 64}, {"memory.peak", 9}}), sum);
  AddStats(With({{"memory.current", 7}, {"memory.events/max", 2}, {"pids.max", 3}}), sum);
  AddStats(With({{"memory.events/high", 1}, {"cpu.weight", 100}, {"cpu.stat/usage_usec", 11}}),
           sum);
  EXPECT_THAT(sum.values,
              UnorderedElementsAre(Pair("memory.current", 12), Pair("memory.events/max", 2),
                                   Pair("memory.events/high", 1), Pair("cpu.stat/usage_usec", 11)));
}

TEST(SumStats, IoAddsUpByDevice) {
  ContainerStats sum;
  AddStats({{}, {{254, 0, 1, 2, 3, 4}, {254, 1, 5, 0, 0, 0}}}, sum);
  AddStats({{}, {{254, 0, 10, 20, 30, 40}}}, sum);
  ASSERT_EQ(sum.io.size(), 2u);
  EXPECT_EQ(sum.io[0].rbytes, 11u);
  EXPECT_EQ(sum.io[0].wbytes, 22u);
  EXPECT_EQ(sum.io[0].rios, 33u);
  EXPECT_EQ(sum.io[0].wios, 44u);
  EXPECT_EQ(sum.io[1].rbytes, 5u);
}

// Answers at once, late and with an error: one sum, when the last has come.
TEST(SumStats, AContainerThatDoesNotTellIsLeftOut) {
  StatsCallback late;
  std::optional<ContainerStats> sum;
  int answers = 0;
  SumStats(
      {"here", "late", "gone"},
      [&](const std::string& id, StatsCallback one) {
        if (id == "here") one(With({{"memory.current", 1}}));
        if (id == "gone") one(base::MakeError(base::Code::kNotFound, "container not created"));
        if (id == "late") late = std::move(one);
      },
      [&](base::Result<ContainerStats> stats) {
        ++answers;
        sum = std::move(*stats);
      });
  EXPECT_EQ(answers, 0);
  late(With({{"memory.current", 2}}));
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(sum->values.at("memory.current"), 3u);
}

TEST(SumStats, NoContainersHaveUsedNothing) {
  int answers = 0;
  SumStats({}, {}, [&](const base::Result<ContainerStats>& stats) {
    ++answers;
    EXPECT_TRUE(stats && stats->values.empty());
  });
  EXPECT_EQ(answers, 1);
}

}  // namespace
}  // namespace pod
