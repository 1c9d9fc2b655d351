// config.json: no input crashes the parser, and what it accepts survives being written and read
// again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/spec.h"
#include "runtime/cpu/request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = oci::Parse(text);
  if (!spec) return 0;
  const auto again = oci::Parse(oci::Serialise(*spec));
  if (!again || *again != *spec) abort();
  (void)cpu::RequestFromSpec(*spec);
  return 0;
}
