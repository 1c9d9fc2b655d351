#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

#include "oci/clause.h"
#include "oci/fields.h"
#include "oci/json_reader.h"
#include "oci/spec.h"
#include "oci/validate.h"

namespace oci {
namespace {

// One overload for each kind of member; FieldsOf drives the structs.
void Read(JsonReader& reader, std::string& out) { out = reader.ReadString(); }
void Read(JsonReader& reader, bool& out) { out = reader.ReadBool(); }

template <std::integral Number>
void Read(JsonReader& reader, Number& out) {
  using Range = std::numeric_limits<Number>;
  if constexpr (std::is_signed_v<Number>) {
    out = static_cast<Number>(reader.ReadSigned(Range::min(), Range::max()));
  } else {
    out = static_cast<Number>(reader.ReadUnsigned(Range::max()));
  }
}

template <class Struct>
requires requires { FieldsOf<Struct>::kFields; }
void Read(JsonReader& reader, Struct& out);
template <class Element>
void Read(JsonReader& reader, std::vector<Element>& out);

template <class Value>
void Read(JsonReader& reader, std::optional<Value>& out) {
  Read(reader, out.emplace());
}

template <class Element>
void Read(JsonReader& reader, std::vector<Element>& out) {
  const size_t size = reader.ReadArraySize();
  out.clear();
  for (size_t i = 0; i < size && reader.status(); ++i) {
    reader.EnterElement(i);
    Read(reader, out.emplace_back());
    reader.Leave();
  }
}

template <class Value>
void Read(JsonReader& reader, std::map<std::string, Value>& out) {
  out.clear();
  for (const std::string& key : reader.ReadKeys()) {
    Value& value = out[key];
    if (!reader.EnterField(key)) continue;  // null
    Read(reader, value);
    reader.Leave();
  }
}

template <class Struct>
requires requires { FieldsOf<Struct>::kFields; }
void Read(JsonReader& reader, Struct& out) {
  reader.ExpectObject();
  const auto read_field = [&](const auto& field) {
    if (!reader.EnterField(field.name)) return;
    Read(reader, out.*field.member);
    reader.Leave();
  };
  std::apply([&](const auto&... field) { (read_field(field), ...); }, FieldsOf<Struct>::kFields);
}

constexpr JsonLimits kLimits = {
    .bytes = kMaxSpecBytes, .depth = kMaxSpecDepth, .list_length = kMaxSpecListLength};

base::Result<Spec> ReadSpec(std::string_view json) {
  JsonReader reader = TRY(JsonReader::Create(json, kLimits, ClauseOfPath));
  Spec spec;
  Read(reader, spec);
  TRY(reader.status());
  return spec;
}

}  // namespace

base::Result<Spec> Parse(std::string_view json) {
  Spec spec = TRY(ReadSpec(json));
  TRY(Validate(spec));
  return spec;
}

base::Result<Spec> ParseResources(std::string_view json) {
  Spec spec = TRY(ReadSpec(json));
  TRY(ValidateResources(spec.linux_config.resources));
  return spec;
}

base::Result<Process> ParseProcess(std::string_view json) {
  JsonReader reader = TRY(JsonReader::Create(json, kLimits, ClauseOfProcessPath));
  Process process;
  Read(reader, process);
  TRY(reader.status());
  TRY(ValidateProcess(process, ""));
  return process;
}

base::Result<Resources> ParseLinuxResources(std::string_view json) {
  JsonReader reader = TRY(JsonReader::Create(json, kLimits, nullptr));
  Resources resources;
  Read(reader, resources);
  TRY(reader.status());
  TRY(ValidateResources(resources));
  return resources;
}

}  // namespace oci
