#include "agent-proto/stream/stream_codec.h"

#include <algorithm>

namespace stream {

std::string EncodeHeader(size_t size) {
  CHECK(size <= kMaxFrameBytes);
  std::string header(kHeaderBytes, '\0');
  for (size_t i = 0; i < kHeaderBytes; ++i) header[i] = static_cast<char>(size >> (8 * i) & 0xff);
  return header;
}

std::string Encode(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + kHeaderBytes * (bytes.size() / kMaxFrameBytes + 1));
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), kMaxFrameBytes);
    out += EncodeHeader(size);
    out += bytes.substr(0, size);
    bytes.remove_prefix(size);
  }
  return out;
}

std::string EncodeEof() { return EncodeHeader(0); }

void Decoder::Push(std::string_view bytes) {
  // What was given out is dropped only when it is at least half, so that each byte moves O(1)
  // times.
  if (position_ > buffer_.size() / 2) {
    buffer_.erase(0, position_);
    position_ = 0;
  }
  buffer_ += bytes;
}

std::string Decoder::TakeRest() {
  std::string rest = buffer_.substr(position_);
  buffer_.clear();
  position_ = 0;
  return rest;
}

base::Result<std::optional<Decoder::Frame>> Decoder::Next() {
  if (ended_) {
    if (buffered() == 0) return std::optional<Frame>();
    return base::MakeError(base::Code::kInvalidArgument, "{} bytes after the end of the stream",
                           buffered());
  }
  if (buffered() < kHeaderBytes) return std::optional<Frame>();
  size_t size = 0;
  for (size_t i = 0; i < kHeaderBytes; ++i) {
    size |= size_t{static_cast<uint8_t>(buffer_[position_ + i])} << (8 * i);
  }
  if (size > kMaxFrameBytes) {
    return base::MakeError(base::Code::kOutOfRange, "stream frame of {} bytes, at most {}", size,
                           kMaxFrameBytes);
  }
  if (buffered() < kHeaderBytes + size) return std::optional<Frame>();
  Frame frame{size == 0, buffer_.substr(position_ + kHeaderBytes, size)};
  position_ += kHeaderBytes + size;
  ended_ = frame.eof;
  return std::optional<Frame>(std::move(frame));
}

}  // namespace stream
