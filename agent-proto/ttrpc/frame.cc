#include "agent-proto/ttrpc/frame.h"

#include <algorithm>

#include "runtime/base/result.h"

namespace ttrpc {
namespace {

void PutU32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

uint32_t GetU32(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

}  // namespace

std::string EncodeFrame(uint32_t stream_id, MessageType type, uint8_t flags,
                        std::string_view data) {
  CHECK(data.size() <= kMaxDataBytes);
  std::string out;
  out.reserve(kFrameHeaderBytes + data.size());
  PutU32(out, static_cast<uint32_t>(data.size()));
  PutU32(out, stream_id);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  out += data;
  return out;
}

void FrameReader::Push(std::string_view bytes) {
  const size_t skip = static_cast<size_t>(std::min<uint64_t>(discard_, bytes.size()));
  discard_ -= skip;
  bytes.remove_prefix(skip);
  if (position_ > buffer_.size() / 2) {
    buffer_.erase(0, position_);
    position_ = 0;
  }
  buffer_ += bytes;
}

std::optional<Frame> FrameReader::Next() {
  const std::string_view rest = std::string_view(buffer_).substr(position_);
  if (rest.size() < kFrameHeaderBytes) return std::nullopt;
  Frame frame;
  frame.length = GetU32(rest);
  frame.stream_id = GetU32(rest.substr(4));
  frame.type = static_cast<uint8_t>(rest[8]);
  frame.flags = static_cast<uint8_t>(rest[9]);
  if (frame.length > max_data_bytes_) {
    frame.oversize = true;
    const size_t here = std::min<size_t>(frame.length, rest.size() - kFrameHeaderBytes);
    position_ += kFrameHeaderBytes + here;
    discard_ = frame.length - here;
    return frame;
  }
  if (rest.size() < kFrameHeaderBytes + frame.length) return std::nullopt;
  frame.data = rest.substr(kFrameHeaderBytes, frame.length);
  position_ += kFrameHeaderBytes + frame.length;
  return frame;
}

}  // namespace ttrpc
