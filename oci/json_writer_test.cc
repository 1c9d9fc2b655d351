#include "oci/json_writer.h"

#include <gtest/gtest.h>

namespace oci {
namespace {

TEST(JsonWriterTest, WritesNestedValuesInOrder) {
  JsonWriter writer;
  writer.BeginObject();
  writer.Key("a");
  writer.BeginArray();
  writer.Signed(-1);
  writer.Unsigned(UINT64_MAX);
  writer.BeginObject();
  writer.EndObject();
  writer.EndArray();
  writer.Key("b");
  writer.Bool(true);
  writer.Key("c");
  writer.Null();
  writer.EndObject();
  EXPECT_EQ(writer.Take(), R"({"a":[-1,18446744073709551615,{}],"b":true,"c":null})");
}

TEST(JsonWriterTest, EscapesWhatMustBe) {
  JsonWriter writer;
  writer.String("\"\\\n\x01/é");
  EXPECT_EQ(writer.Take(), "\"\\\"\\\\\\u000a\\u0001/é\"");
}

}  // namespace
}  // namespace oci
