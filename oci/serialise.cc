#include <concepts>
#include <type_traits>

#include "oci/fields.h"
#include "oci/json_writer.h"
#include "oci/spec.h"

namespace oci {
namespace {

// What reads back as the default is left out, but for numbers: a uid of 0 is worth seeing.
template <class Value>
bool LeftOut(const Value&) {
  return false;
}
bool LeftOut(const std::string& text) { return text.empty(); }
bool LeftOut(const bool& value) { return !value; }
template <class Value>
bool LeftOut(const std::optional<Value>& value) {
  return !value.has_value();
}
template <class Element>
bool LeftOut(const std::vector<Element>& list) {
  return list.empty();
}
template <class Value>
bool LeftOut(const std::map<std::string, Value>& map) {
  return map.empty();
}

void Write(JsonWriter& writer, const std::string& text) { writer.String(text); }
void Write(JsonWriter& writer, const bool& value) { writer.Bool(value); }

template <std::integral Number>
void Write(JsonWriter& writer, const Number& value) {
  if constexpr (std::is_signed_v<Number>) {
    writer.Signed(value);
  } else {
    writer.Unsigned(value);
  }
}

template <class Struct>
requires requires { FieldsOf<Struct>::kFields; }
void Write(JsonWriter& writer, const Struct& value);

template <class Value>
void Write(JsonWriter& writer, const std::optional<Value>& value) {
  Write(writer, *value);
}

template <class Element>
void Write(JsonWriter& writer, const std::vector<Element>& list) {
  writer.BeginArray();
  for (const Element& element : list) Write(writer, element);
  writer.EndArray();
}

template <class Value>
void Write(JsonWriter& writer, const std::map<std::string, Value>& map) {
  writer.BeginObject();
  for (const auto& [key, value] : map) {
    writer.Key(key);
    Write(writer, value);
  }
  writer.EndObject();
}

template <class Struct>
requires requires { FieldsOf<Struct>::kFields; }
void Write(JsonWriter& writer, const Struct& value) {
  writer.BeginObject();
  const auto write_field = [&](const auto& field) {
    if (LeftOut(value.*field.member)) return;
    writer.Key(field.name);
    Write(writer, value.*field.member);
  };
  std::apply([&](const auto&... field) { (write_field(field), ...); }, FieldsOf<Struct>::kFields);
  writer.EndObject();
}

template <class Struct>
std::string ToJson(const Struct& value) {
  JsonWriter writer;
  Write(writer, value);
  return writer.Take();
}

}  // namespace

std::string Serialise(const Spec& spec) { return ToJson(spec); }
std::string Serialise(const Process& process) { return ToJson(process); }
std::string Serialise(const Resources& resources) { return ToJson(resources); }

}  // namespace oci
