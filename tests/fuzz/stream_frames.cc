// The host's decoder of a stdio stream, fed by a hostile guest in pieces of the first byte's size.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent-proto/stream/stream_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t piece = size_t{data[0]} + 1;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  stream::Decoder decoder;
  size_t in = 0;
  size_t out = 0;
  while (!bytes.empty()) {
    const size_t count = std::min(piece, bytes.size());
    decoder.Push(bytes.substr(0, count));
    bytes.remove_prefix(count);
    in += count;
    while (true) {
      auto frame = decoder.Next();
      if (!frame) return 0;
      if (!*frame) break;
      out += stream::kHeaderBytes + (*frame)->bytes.size();
      if ((*frame)->eof != (*frame)->bytes.empty()) abort();
    }
    if (out + decoder.buffered() != in) abort();  // nothing is lost, nothing made up
  }
  return 0;
}
