#include "agent-proto/ttrpc/status.h"

#include <utility>

#include "agent-proto/proto/ttrpc.pb.h"
#include "agent-proto/ttrpc/frame.h"
#include "runtime/base/log.h"

namespace ttrpc {
namespace {

constexpr size_t kMaxMessageBytes = 64 << 10;

// Length of the well-formed sequence at the start of `text`, 0 if there is none.
// The Unicode Standard, table 3-7 "Well-Formed UTF-8 Byte Sequences".
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size_t length = first < 0xe0 ? 2u : first < 0xf0 ? 3u : 4u;
  if (text.size() < length) return 0;
  const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string ToUtf8(std::string text) {
  if (text.size() <= kMaxMessageBytes && IsUtf8(text)) return text;
  return base::Escaped(text, kMaxMessageBytes);
}

std::string EncodeResponse(const base::Result<std::string>& result) {
  wire::Response response;
  if (result) {
    response.set_payload(*result);
  } else {
    response.mutable_status()->set_code(static_cast<int32_t>(result.error().code()));
    response.mutable_status()->set_message(ToUtf8(result.error().Message()));
  }
  std::string bytes = response.SerializeAsString();
  if (bytes.size() <= kMaxDataBytes) return bytes;
  return EncodeResponse(base::MakeError(base::Code::kResourceExhausted,
                                        "the answer has {} bytes, at most {} fit", bytes.size(),
                                        kMaxDataBytes));
}

base::Result<std::string> DecodeResponse(std::string_view bytes) {
  wire::Response response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return base::MakeError(base::Code::kInternal, "the peer's answer is no ttrpc.Response");
  }
  const int32_t code = response.status().code();
  if (code == 0) return std::move(*response.mutable_payload());
  const bool known = code >= 1 && code <= static_cast<int32_t>(base::Code::kUnavailable);
  return base::MakeError(known ? static_cast<base::Code>(code) : base::Code::kUnknown, "{}",
                         ToUtf8(response.status().message()));
}

}  // namespace ttrpc
