#include "oci/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace oci {
namespace {

using ::testing::HasSubstr;

std::string Refusal(std::string_view text, JsonLimits limits = {}) {
  const auto reader = JsonReader::Create(text, limits);
  return reader ? "accepted" : reader.error().Message();
}

TEST(JsonReaderTest, RefusesWhatIsNoJson) {
  EXPECT_THAT(Refusal("{\"a\":}"), HasSubstr("at byte 6"));
  EXPECT_THAT(Refusal("\"\xff\""), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{} x"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("1e999"), HasSubstr("JSON"));
}

TEST(JsonReaderTest, RefusesWhatIsBeyondItsLimits) {
  EXPECT_THAT(Refusal(std::string(100, ' '), {.bytes = 99}), HasSubstr("100 bytes"));
  EXPECT_EQ(Refusal("[[[]]]", {.depth = 3}), "accepted");
  EXPECT_THAT(Refusal("[[[[]]]]", {.depth = 3}), HasSubstr("more than 3 levels"));
  EXPECT_EQ(Refusal(R"(["[[[[\"[[["])", {.depth = 2}), "accepted");
  // A million brackets must not exhaust the stack.
  EXPECT_THAT(Refusal(std::string(1 << 20, '['), {.bytes = 2 << 20}), HasSubstr("levels"));

  EXPECT_EQ(Refusal(R"([[1,2],{"a,b,c":1,"b":"x,y,z"}])", {.list_length = 2}), "accepted");
  EXPECT_THAT(Refusal("[[1],[1,2,3]]", {.list_length = 2}),
              HasSubstr("more than 2 entries, at byte 10"));
  EXPECT_THAT(Refusal(R"({"a":1,"b":2,"c":3})", {.list_length = 2}), HasSubstr("at byte 13"));
}

TEST(JsonReaderTest, KeepsTheFirstError) {
  auto reader = JsonReader::Create(R"({"a": {"b": [true, "x"]}})", {});
  ASSERT_TRUE(reader);
  ASSERT_TRUE(reader->EnterField("a"));
  ASSERT_TRUE(reader->EnterField("b"));
  reader->EnterElement(1);
  reader->ReadBool();
  reader->Fail("second");
  reader->Leave();
  EXPECT_FALSE(reader->EnterField("b"));
  EXPECT_EQ(reader->status().error().Message(), "a.b[1]: \"x\" where true or false must be");
}

TEST(JsonReaderTest, NullIsAbsent) {
  auto reader = JsonReader::Create(R"({"a": null})", {});
  ASSERT_TRUE(reader);
  EXPECT_FALSE(reader->EnterField("a"));
  EXPECT_FALSE(reader->EnterField("b"));
  EXPECT_TRUE(reader->status());
}

TEST(JsonReaderTest, IntegersKeepTheirWholeRange) {
  auto reader = JsonReader::Create(
      "[-9223372036854775808, 18446744073709551615, 9223372036854775808, -1, 1.0]", {});
  ASSERT_TRUE(reader);
  reader->EnterElement(0);
  EXPECT_EQ(reader->ReadSigned(INT64_MIN, INT64_MAX), INT64_MIN);
  reader->Leave();
  reader->EnterElement(1);
  EXPECT_EQ(reader->ReadUnsigned(UINT64_MAX), UINT64_MAX);
  EXPECT_TRUE(reader->status());
  reader->Leave();
  reader->EnterElement(2);
  reader->ReadSigned(INT64_MIN, INT64_MAX);
  EXPECT_THAT(reader->status().error().Message(), HasSubstr("9223372036854775808 is not within"));
}

TEST(JsonReaderTest, NegativeAndFractionAreNotUnsigned) {
  for (const char* text : {"-1", "1.5", "1.0", "\"1\"", "true"}) {
    auto reader = JsonReader::Create(text, {});
    ASSERT_TRUE(reader);
    reader->ReadUnsigned(10);
    EXPECT_FALSE(reader->status()) << text;
  }
}

TEST(JsonReaderTest, RefusesNulBytes) {
  auto reader = JsonReader::Create(R"("a\u0000b")", {});
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->ReadString(), "");
  EXPECT_THAT(reader->status().error().Message(), HasSubstr("NUL"));
}

}  // namespace
}  // namespace oci
