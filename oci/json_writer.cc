#include "oci/json_writer.h"

#include <fmt/format.h>

#include <utility>

#include "runtime/base/result.h"

namespace oci {

void JsonWriter::Separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_entries_.empty()) return;
  if (has_entries_.back()) text_ += ',';
  has_entries_.back() = true;
}

void JsonWriter::Begin(char bracket) {
  Separate();
  text_ += bracket;
  has_entries_.push_back(false);
}

void JsonWriter::End(char bracket) {
  CHECK(!has_entries_.empty() && !after_key_);
  has_entries_.pop_back();
  text_ += bracket;
}

void JsonWriter::BeginObject() { Begin('{'); }
void JsonWriter::EndObject() { End('}'); }
void JsonWriter::BeginArray() { Begin('['); }
void JsonWriter::EndArray() { End(']'); }

void JsonWriter::Key(std::string_view name) {
  Separate();
  Quote(name);
  text_ += ':';
  after_key_ = true;
}

void JsonWriter::String(std::string_view text) {
  Separate();
  Quote(text);
}

// RFC 8259, 7: quotation mark, backslash and the control characters must be escaped.
void JsonWriter::Quote(std::string_view text) {
  text_ += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      text_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      text_ += c;
    }
  }
  text_ += '"';
}

void JsonWriter::Bool(bool value) {
  Separate();
  text_ += value ? "true" : "false";
}

void JsonWriter::Signed(int64_t value) {
  Separate();
  text_ += fmt::format("{}", value);
}

void JsonWriter::Unsigned(uint64_t value) {
  Separate();
  text_ += fmt::format("{}", value);
}

void JsonWriter::Null() {
  Separate();
  text_ += "null";
}

std::string JsonWriter::Take() {
  CHECK(has_entries_.empty());
  return std::exchange(text_, {});
}

}  // namespace oci
