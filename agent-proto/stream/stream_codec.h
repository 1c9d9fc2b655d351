// Framing of a stdio stream between guest and host: u32 length, little-endian, then that many
// bytes; length 0 is the end of the stream. The first frame of a connection is a StreamHello.
//
// Thread rule: values. The decoder trusts nothing: a length over the limit, or anything after the
// end, is an error, after which the connection is to be closed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/result.h"

namespace stream {

inline constexpr size_t kHeaderBytes = 4;
inline constexpr size_t kMaxFrameBytes = 64 << 10;

// The header of a frame of `size` bytes, 1 to kMaxFrameBytes, to be sent before them.
std::string EncodeHeader(size_t size);
// `bytes` as frames, as many as it takes; nothing for no bytes (an empty frame would be the end).
std::string Encode(std::string_view bytes);
std::string EncodeEof();

class Decoder {
 public:
  struct Frame {
    bool eof = false;
    std::string bytes;  // empty with eof only
  };

  void Push(std::string_view bytes);
  // nullopt: more bytes are needed. kOutOfRange: too long a frame; kInvalidArgument: bytes after
  // the end. Both stay.
  base::Result<std::optional<Frame>> Next();
  // Bytes pushed and not given out. The caller stops reading when it has enough of them.
  size_t buffered() const { return buffer_.size() - position_; }
  bool ended() const { return ended_; }
  // Those bytes, as they came: what follows on this connection is no frames.
  std::string TakeRest();

 private:
  std::string buffer_;
  size_t position_ = 0;
  bool ended_ = false;
};

}  // namespace stream
