#include "agent-proto/stream/stream_codec.h"

#include <gtest/gtest.h>

namespace stream {
namespace {

using std::string_literals::operator""s;

TEST(StreamCodec, LengthIsLittleEndian) {
  EXPECT_EQ(Encode("abc"), "\x03\x00\x00\x00"s + "abc");
  EXPECT_EQ(EncodeEof(), "\x00\x00\x00\x00"s);
  EXPECT_EQ(EncodeHeader(kMaxFrameBytes), "\x00\x00\x01\x00"s);
}

TEST(StreamCodec, NoBytesAreNoFrame) { EXPECT_EQ(Encode(""), ""); }

TEST(StreamCodec, SplitsAtTheLimit) {
  const std::string bytes(kMaxFrameBytes + 1, 'x');
  Decoder decoder;
  decoder.Push(Encode(bytes));
  EXPECT_EQ(decoder.Next()->value().bytes.size(), kMaxFrameBytes);
  EXPECT_EQ(decoder.Next()->value().bytes, "x");
  EXPECT_FALSE(decoder.Next()->has_value());
}

TEST(StreamCodec, DecodesByteByByte) {
  Decoder decoder;
  std::string got;
  for (const char c : Encode("hello") + Encode("world") + EncodeEof()) {
    decoder.Push(std::string(1, c));
    auto frame = decoder.Next();
    ASSERT_TRUE(frame);
    if (*frame) got += (*frame)->eof ? "." : (*frame)->bytes;
  }
  EXPECT_EQ(got, "helloworld.");
  EXPECT_TRUE(decoder.ended());
  EXPECT_EQ(decoder.buffered(), 0u);
}

TEST(StreamCodec, RejectsALengthOverTheLimit) {
  Decoder decoder;
  decoder.Push("\x01\x00\x01\x00"s);
  const auto frame = decoder.Next();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code(), base::Code::kOutOfRange);
  EXPECT_FALSE(decoder.Next());
}

TEST(StreamCodec, RejectsBytesAfterTheEnd) {
  Decoder decoder;
  decoder.Push(EncodeEof() + "x");
  EXPECT_TRUE(decoder.Next()->value().eof);
  const auto frame = decoder.Next();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code(), base::Code::kInvalidArgument);
}

TEST(StreamCodec, BufferDoesNotGrowWithWhatWasGivenOut) {
  Decoder decoder;
  for (int i = 0; i < 1000; ++i) {
    decoder.Push(Encode(std::string(1000, 'x')));
    ASSERT_TRUE(decoder.Next()->has_value());
  }
  EXPECT_EQ(decoder.buffered(), 0u);
}

TEST(StreamCodecTest, RestIsWhatFollowedTheLastFrame) {
  Decoder decoder;
  decoder.Push(Encode("hello") + "raw");
  ASSERT_TRUE(decoder.Next());
  EXPECT_EQ(decoder.TakeRest(), "raw");
  EXPECT_EQ(decoder.TakeRest(), "");
}

}  // namespace
}  // namespace stream
