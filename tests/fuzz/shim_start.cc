// What `start` reads besides its flags: config.json's annotations and the options on stdin.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/shim/address.h"
#include "runtime/shim/start_options.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  shim::Flags flags;
  flags.ns = "ns";
  flags.id = "id";
  (void)shim::ParseStartOptions(bytes, flags).has_value();
  (void)shim::GroupingKey(bytes, "id").has_value();
  return 0;
}
