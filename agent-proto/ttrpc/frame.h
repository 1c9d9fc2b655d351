// The ttrpc frame (containerd/ttrpc PROTOCOL.md): a header of 10 bytes, big-endian, then data.
//
//   0  u32 data length, at most 4 MiB      8  u8 message type
//   4  u32 stream id                       9  u8 flags
//
// Thread rule: values. The reader never holds more than one frame's data and what follows it in the
// bytes just pushed; the length in a header alone makes it allocate nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ttrpc {

inline constexpr size_t kFrameHeaderBytes = 10;
inline constexpr size_t kMaxDataBytes = 4 << 20;

enum class MessageType : uint8_t { kRequest = 1, kResponse = 2, kData = 3 };

// PROTOCOL.md, "Flags"
inline constexpr uint8_t kFlagRemoteClosed = 0x01;
inline constexpr uint8_t kFlagRemoteOpen = 0x02;
inline constexpr uint8_t kFlagNoData = 0x04;

struct Frame {
  uint32_t stream_id = 0;
  uint8_t type = 0;  // not only those of MessageType: unknown ones are the caller's to ignore
  uint8_t flags = 0;
  // Set when the header announced more than the reader takes: there is no data, and the reader
  // skips it as it comes.
  bool oversize = false;
  uint32_t length = 0;
  std::string data;
};

// `data` must not exceed kMaxDataBytes.
std::string EncodeFrame(uint32_t stream_id, MessageType type, uint8_t flags, std::string_view data);

class FrameReader {
 public:
  // Frames with more data than `max_data_bytes`, at most kMaxDataBytes, are oversize.
  explicit FrameReader(size_t max_data_bytes = kMaxDataBytes) : max_data_bytes_(max_data_bytes) {}
  void Push(std::string_view bytes);
  // nullopt: more bytes are needed.
  std::optional<Frame> Next();

 private:
  size_t max_data_bytes_;
  std::string buffer_;
  size_t position_ = 0;
  uint64_t discard_ = 0;  // what is still to be skipped of an oversize frame
};

}  // namespace ttrpc
