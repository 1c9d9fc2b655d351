#include "runtime/shim/flags.h"

#include <gtest/gtest.h>

#include <vector>

namespace shim {
namespace {

base::Result<Flags> Parse(std::vector<const char*> args) { return ParseFlags(args); }

TEST(Flags, TakesEveryFormOfGo) {
  const auto flags = Parse(
      {"-namespace", "a", "--id", "b", "-address=c", "--publish-binary=d=e", "-debug", "start"});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->ns, "a");
  EXPECT_EQ(flags->id, "b");
  EXPECT_EQ(flags->address, "c");
  EXPECT_EQ(flags->publish_binary, "d=e");
  EXPECT_TRUE(flags->debug);
  EXPECT_EQ(flags->verb, "start");
}

TEST(Flags, EndAtTheFirstOtherWord) {
  const auto flags = Parse({"-id", "b", "delete", "-id", "c"});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->id, "b");
  EXPECT_EQ(flags->verb, "delete");
  EXPECT_EQ(Parse({"-id", "b", "--", "start"})->verb, "start");
}

TEST(Flags, AValueMayLookLikeAVerbOrBeEmpty) {
  EXPECT_EQ(Parse({"-id", "start", "start"})->id, "start");
  EXPECT_EQ(Parse({"-address", "", "start"})->verb, "start");
}

TEST(Flags, BooleansTakeNoWord) {
  EXPECT_FALSE(Parse({"-debug=false", "start"})->debug);
  EXPECT_TRUE(Parse({"-debug=T"})->debug);
  EXPECT_FALSE(Parse({"-debug=maybe"}));
  EXPECT_TRUE(Parse({"-v"})->version);
  EXPECT_TRUE(Parse({"-info"})->info);
}

TEST(Flags, SkipsUnknownOnes) {
  const auto flags =
      Parse({"-later", "value", "-newer=1", "-switch", "-id", "b", "-last", "start"});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->id, "b");
  EXPECT_EQ(flags->verb, "start");
}

TEST(Flags, NamesAFlagWithoutItsValue) {
  const auto flags = Parse({"-id"});
  ASSERT_FALSE(flags);
  EXPECT_EQ(flags.error().Message(), "-id needs a value");
}

TEST(Identifier, IsContainerds) {
  for (const char* good : {"a", "k8s.io", "a-b_c.d", "0123456789abcdef"}) {
    EXPECT_TRUE(CheckIdentifier("id", good)) << good;
  }
  for (const char* bad : {"", ".", "..", "-a", "a.", "a..b", "a/b", "a b", "../x", "\xc3\xa4"}) {
    EXPECT_FALSE(CheckIdentifier("id", bad)) << bad;
  }
  EXPECT_TRUE(CheckIdentifier("id", std::string(76, 'x')));
  EXPECT_FALSE(CheckIdentifier("id", std::string(77, 'x')));
}

}  // namespace
}  // namespace shim
