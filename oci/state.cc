#include "oci/state.h"

#include "oci/json_writer.h"

namespace oci {

std::string Serialise(const State& state) {
  JsonWriter writer;
  const auto field = [&writer](const char* name, const std::string& value) {
    writer.Key(name);
    writer.String(value);
  };
  writer.BeginObject();
  field("ociVersion", state.oci_version);
  field("id", state.id);
  field("status", state.status);
  if (state.pid != 0) {
    writer.Key("pid");
    writer.Signed(state.pid);
  }
  field("bundle", state.bundle);
  writer.Key("annotations");
  writer.BeginObject();
  for (const auto& [name, value] : state.annotations) field(name.c_str(), value);
  writer.EndObject();
  writer.EndObject();
  return writer.Take();
}

}  // namespace oci
