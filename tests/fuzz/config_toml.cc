// config.toml and annotation values: any text is a configuration or an error.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = config::ParseToml(text, "fuzz");
  if (!config) return 0;
  (void)config::ApplyAnnotations({{"io.pinion.cpu.pinning", std::string(text)}}, *config);
  return 0;
}
