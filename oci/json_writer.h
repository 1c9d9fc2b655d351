// JSON text, written in order. The caller pairs Begin and End; nothing is checked but by CHECK.
// Thread rule: thread-bound.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace oci {

class JsonWriter {
 public:
  void BeginObject();
  void EndObject();
  void BeginArray();
  void EndArray();
  // Inside an object, before each value.
  void Key(std::string_view name);

  // Bytes above 0x7f pass as they are: the caller's strings are UTF-8.
  void String(std::string_view text);
  void Bool(bool value);
  void Signed(int64_t value);
  void Unsigned(uint64_t value);
  void Null();

  // The document; the writer is empty afterwards.
  std::string Take();

 private:
  void Begin(char bracket);
  void End(char bracket);
  void Separate();
  void Quote(std::string_view text);

  std::string text_;
  std::vector<bool> has_entries_;  // one per open bracket
  bool after_key_ = false;
};

}  // namespace oci
