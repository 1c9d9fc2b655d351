#include "runtime/shim/address.h"

#include <sha256.h>
#include <sys/types.h>

#include <filesystem>

#include "oci/json_reader.h"
#include "runtime/base/file.h"

namespace shim {
namespace {

constexpr size_t kMaxConfigBytes = 10 << 20;
constexpr size_t kMaxAddressBytes = 4096;
constexpr std::string_view kUnixScheme = "unix://";
constexpr const char* kGroupAnnotations[] = {"io.containerd.runc.v2.group",
                                             "io.kubernetes.cri.sandbox-id"};

std::string HexSha256(const std::string& text) {
  char hex[SHA256_DIGEST_STRING_LENGTH];
  SHA256Data(reinterpret_cast<const uint8_t*>(text.data()), text.size(), hex);
  return hex;
}

}  // namespace

base::Result<std::string> GroupingKey(std::string_view config_json, const std::string& id) {
  if (config_json.empty()) return id;
  oci::JsonReader reader = TRY(
      oci::JsonReader::Create(config_json, {.bytes = kMaxConfigBytes, .depth = 64}), "config.json");
  std::string key;
  if (reader.EnterField("annotations")) {
    for (const char* name : kGroupAnnotations) {
      if (!key.empty() || !reader.EnterField(name)) continue;
      key = reader.ReadString();
      reader.Leave();
    }
    reader.Leave();
  }
  TRY(reader.status(), "config.json");
  return key.empty() ? id : key;
}

base::Result<std::string> GroupingKeyHere(const std::string& id) {
  base::Result<std::string> text = base::ReadFile("config.json", kMaxConfigBytes);
  if (!text && text.error().error_number() == ENOENT) return id;
  if (!text) return std::move(text.error());
  return GroupingKey(*text, id);
}

std::string SocketPath(const std::string& address, const std::string& ns, const std::string& key,
                       const std::string& directory) {
  // Go's path.Join: cleaned lexically.
  const std::string joined =
      std::filesystem::path(address + "/" + ns + "/" + key).lexically_normal().string();
  return directory + "/" + HexSha256(joined);
}

std::string SocketKey(config::Transport transport, const std::string& key) {
  // An identifier has no slash, so that this is no other pod's.
  return transport == config::Transport::kGrpc ? key + "/grpc" : key;
}

std::string ToText(const Endpoint& endpoint) {
  if (endpoint.transport == config::Transport::kTtrpc) {
    return std::string(kUnixScheme) + endpoint.socket;
  }
  return fmt::format(R"({{"version":2,"address":"{}","protocol":"grpc"}})", endpoint.socket);
}

std::string ToVersion3Text(const Endpoint& endpoint) {
  return fmt::format(R"({{"version":3,"address":"{}{}","protocol":"ttrpc"}})", kUnixScheme,
                     endpoint.socket);
}

base::Result<Endpoint> ParseEndpoint(std::string_view text) {
  if (text.starts_with(kUnixScheme)) {
    return Endpoint{config::Transport::kTtrpc, std::string(text.substr(kUnixScheme.size()))};
  }
  oci::JsonReader reader =
      TRY(oci::JsonReader::Create(text, {.bytes = kMaxAddressBytes, .depth = 2}), "address");
  Endpoint endpoint{config::Transport::kGrpc, ""};
  if (reader.EnterField("address")) {
    endpoint.socket = reader.ReadString();
    reader.Leave();
  }
  if (reader.EnterField("protocol")) {
    if (reader.ReadString() == "ttrpc") endpoint.transport = config::Transport::kTtrpc;
    reader.Leave();
  }
  // containerd 2.0 and later, bootstrap.json.
  if (endpoint.socket.starts_with(kUnixScheme)) endpoint.socket.erase(0, kUnixScheme.size());
  TRY(reader.status(), "address");
  if (endpoint.socket.empty()) {
    return base::MakeError(base::Code::kInvalidArgument, "address: no \"address\" in it");
  }
  return endpoint;
}

}  // namespace shim
