#include "runtime/cpu/cpu_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cpu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CpuSet Of(std::string_view text) {
  auto set = CpuSet::Parse(text);
  EXPECT_TRUE(set) << text;
  return set ? *set : CpuSet();
}

TEST(CpuSetTest, ReadsLists) {
  EXPECT_THAT(Of("0-3,8"), ElementsAre(0, 1, 2, 3, 8));
  EXPECT_THAT(Of("8,0-1,1-2\n"), ElementsAre(0, 1, 2, 8));
  EXPECT_THAT(Of("5-5"), ElementsAre(5));
  EXPECT_TRUE(Of("").empty());
  EXPECT_TRUE(Of("\n").empty());
  EXPECT_THAT(Of("8191"), ElementsAre(8191));
}

TEST(CpuSetTest, RejectsMalformedListsByName) {
  for (const char* text : {"3-1", "a", "0-", "-1", ",", "1,", ",1", "1,,2", "0-3-5", "0 1", "0x1",
                           "+1", "8192", "0-4294967295", "99999999999999999999", "0-3:1/2"}) {
    const auto set = CpuSet::Parse(text);
    ASSERT_FALSE(set) << text;
    EXPECT_EQ(set.error().code(), base::Code::kInvalidArgument);
    EXPECT_THAT(set.error().Message(), HasSubstr(text));
  }
}

TEST(CpuSetTest, WritesTheShortestList) {
  EXPECT_EQ(CpuSet({8, 0, 1, 2, 3, 9}).ToString(), "0-3,8-9");
  EXPECT_EQ(CpuSet({7}).ToString(), "7");
  EXPECT_EQ(CpuSet().ToString(), "");
}

TEST(CpuSetTest, Algebra) {
  const CpuSet a = Of("0-3"), b = Of("2-5");
  EXPECT_EQ(a.Intersection(b), Of("2-3"));
  EXPECT_EQ(a.Union(b), Of("0-5"));
  EXPECT_EQ(a.Without(b), Of("0-1"));
  EXPECT_TRUE(a.ContainsAll(Of("1,3")));
  EXPECT_FALSE(a.ContainsAll(b));
  EXPECT_FALSE(a.Intersects(Of("4")));
  EXPECT_TRUE(a.Contains(3));
  EXPECT_FALSE(a.Contains(4));
}

}  // namespace
}  // namespace cpu
