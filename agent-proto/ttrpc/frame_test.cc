#include "agent-proto/ttrpc/frame.h"

#include <gtest/gtest.h>

#include "agent-proto/ttrpc/status.h"

namespace ttrpc {
namespace {

using std::string_literals::operator""s;

TEST(Frame, HeaderIsBigEndian) {
  EXPECT_EQ(EncodeFrame(0x01020304, MessageType::kResponse, 0x05, "ab"),
            "\x00\x00\x00\x02\x01\x02\x03\x04\x02\x05"s + "ab");
}

TEST(Frame, ReadsByteByByte) {
  FrameReader reader;
  const std::string bytes = EncodeFrame(1, MessageType::kRequest, 0, "hello") +
                            EncodeFrame(3, MessageType::kData, kFlagNoData, "");
  std::vector<Frame> frames;
  for (const char c : bytes) {
    reader.Push(std::string(1, c));
    while (auto frame = reader.Next()) frames.push_back(*frame);
  }
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].data, "hello");
  EXPECT_EQ(frames[1].stream_id, 3u);
  EXPECT_EQ(frames[1].flags, kFlagNoData);
}

TEST(Frame, TakesTheLargest) {
  FrameReader reader;
  reader.Push(EncodeFrame(1, MessageType::kRequest, 0, std::string(kMaxDataBytes, 'x')));
  const auto frame = reader.Next();
  ASSERT_TRUE(frame);
  EXPECT_FALSE(frame->oversize);
  EXPECT_EQ(frame->data.size(), kMaxDataBytes);
}

// One byte over the limit; the data comes in pieces that straddle the end of the frame.
TEST(Frame, DiscardsExactlyAnOversizeFrame) {
  FrameReader reader;
  reader.Push("\x00\x40\x00\x01\x00\x00\x00\x07\x01\x00zzz"s);
  const auto over = reader.Next();
  ASSERT_TRUE(over);
  EXPECT_TRUE(over->oversize);
  EXPECT_EQ(over->stream_id, 7u);
  EXPECT_EQ(over->data, "");
  EXPECT_FALSE(reader.Next());
  reader.Push(std::string(kMaxDataBytes + 1 - 3 - 2, 'z'));
  EXPECT_FALSE(reader.Next());
  reader.Push("zz" + EncodeFrame(9, MessageType::kRequest, 0, "next"));
  const auto next = reader.Next();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->stream_id, 9u);
  EXPECT_EQ(next->data, "next");
}

TEST(Frame, OversizeWithinOnePush) {
  FrameReader reader;
  reader.Push("\x00\x40\x00\x01\x00\x00\x00\x07\x01\x00"s + std::string(kMaxDataBytes + 1, 'z') +
              EncodeFrame(9, MessageType::kRequest, 0, ""));
  EXPECT_TRUE(reader.Next()->oversize);
  EXPECT_EQ(reader.Next()->stream_id, 9u);
}

TEST(Status, NotFoundIsTheKnownBytes) {
  const std::string bytes =
      EncodeResponse(base::MakeError(base::Code::kNotFound, "container not created: not found"));
  EXPECT_EQ(bytes,
            "\x0a\x24\x08\x05\x12\x20"
            "container not created: not found"s);
}

TEST(Status, AnAnswerOverTheLimitIsAnError) {
  const auto decoded = DecodeResponse(EncodeResponse(std::string(kMaxDataBytes, 'x')));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code(), base::Code::kResourceExhausted);
}

TEST(Status, MessagesAreUtf8OnTheWire) {
  EXPECT_EQ(ToUtf8("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(ToUtf8("a\xff"), "a\\xff");
  EXPECT_EQ(ToUtf8("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(ToUtf8("\xc3"), "\\xc3");
}

TEST(Status, UnknownCodesAreUnknown) {
  const auto decoded = DecodeResponse("\x0a\x02\x08\x63"s);  // status{code: 99}
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code(), base::Code::kUnknown);
  EXPECT_EQ(DecodeResponse("\xff").error().code(), base::Code::kInternal);
}

}  // namespace
}  // namespace ttrpc
