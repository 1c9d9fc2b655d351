// A cursor over one JSON document, which keeps the first thing that was wrong and where. The only
// user of nlohmann_json stands behind it (json_reader.cc).
//
// The cursor starts at the document's root. EnterField and EnterElement go down, Leave goes up; the
// Read calls take the value at the cursor. After an error every call does nothing, so that a caller
// checks once, at the end, with status().
// Thread rule: thread-bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"

namespace oci {

struct JsonLimits {
  size_t bytes = 1 << 20;
  size_t depth = 32;
  size_t list_length = 65536;  // entries in a list or object
};

class JsonReader {
 public:
  // Says which document a path belongs to, for the message: "linux.resources.cpu" → a clause.
  // nullptr: no clause.
  using ClauseOf = std::string_view (*)(std::string_view path);

  // kInvalidArgument with the byte offset if `text` is not JSON, kOutOfRange if it is beyond
  // `limits`.
  static base::Result<JsonReader> Create(std::string_view text, const JsonLimits& limits,
                                         ClauseOf clause_of = nullptr);
  JsonReader(JsonReader&&) noexcept;
  JsonReader& operator=(JsonReader&&) noexcept;
  ~JsonReader();

  // The first error, or success.
  base::Result<void> status() const;
  // Records an error about the value at the cursor, if it is the first.
  void Fail(std::string_view problem);

  // False, without an error and without moving, if the field is absent or null.
  bool EnterField(std::string_view name);
  void EnterElement(size_t index);
  void Leave();

  // Each is an error, and gives an empty answer, if the value is of another type.
  void ExpectObject();
  size_t ReadArraySize();
  std::vector<std::string> ReadKeys();
  std::string ReadString();
  bool ReadBool();
  int64_t ReadSigned(int64_t lowest, int64_t highest);
  uint64_t ReadUnsigned(uint64_t highest);

 private:
  struct State;
  explicit JsonReader(std::unique_ptr<State> state);
  void FailType(std::string_view wanted);

  std::unique_ptr<State> state_;
};

}  // namespace oci
