#include "runtime/pod/stdio_uri.h"

#include <cctype>
#include <string_view>
#include <utility>

namespace pod {
namespace {

using base::Code;
using base::MakeError;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int lower = std::tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// RFC 3986, "Percent-Encoding"; `plus`: "+" is a space, as in a query.
base::Result<std::string> Unescape(std::string_view text, bool plus) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += plus && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    // A NUL would end the path early.
    if (high < 0 || low < 0 || (high == 0 && low == 0)) {
      return MakeError(Code::kInvalidArgument, "bad escape \"{}\"", text.substr(i, 3));
    }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

using Query = std::vector<std::pair<std::string, std::string>>;

base::Result<Query> ParseQuery(std::string_view query) {
  Query pairs;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    std::string key = TRY(Unescape(pair.substr(0, equals), true));
    std::string value = TRY(Unescape(pair.substr(std::min(equals + 1, pair.size())), true));
    pairs.emplace_back(std::move(key), std::move(value));
  }
  return pairs;
}

}  // namespace

base::Result<StdioUri> ParseStdioUri(const std::string& uri) {
  StdioUri out;
  const size_t separator = uri.find("://");
  if (separator == std::string::npos) {
    out.path = uri;
    return out;
  }
  const std::string scheme = uri.substr(0, separator);
  std::string_view rest = std::string_view(uri).substr(separator + 3);
  if (scheme == "binary" || scheme == "ttrpc+unix") {
    out.kind = scheme == "binary" ? StdioUri::Kind::kBinary : StdioUri::Kind::kStream;
    const size_t question = std::min(rest.find('?'), rest.size());
    Query query =
        TRY(ParseQuery(rest.substr(std::min(question + 1, rest.size()))), "stdio {}", uri);
    rest = rest.substr(0, question);
    for (auto& [key, value] : query) {
      if (out.kind == StdioUri::Kind::kStream) {
        if (key == "streaming_id") out.stream_id = std::move(value);
        continue;
      }
      out.arguments.push_back(std::move(key));
      if (!value.empty()) out.arguments.push_back(std::move(value));
    }
    if (out.kind == StdioUri::Kind::kStream && out.stream_id.empty()) {
      return MakeError(Code::kInvalidArgument, "stdio {}: it has no streaming_id", uri);
    }
  } else if (scheme == "file") {
    out.kind = StdioUri::Kind::kFile;
  } else if (scheme != "fifo") {
    return MakeError(Code::kInvalidArgument, "stdio {}: unknown scheme {}", uri, scheme);
  }
  // A fifo's path is taken as it is: containerd does not escape it.
  out.path = scheme == "fifo" ? std::string(rest) : TRY(Unescape(rest, false), "stdio {}", uri);
  if (out.path.empty() || out.path[0] != '/') {
    return MakeError(Code::kInvalidArgument, "stdio {}: the path is not absolute", uri);
  }
  return out;
}

}  // namespace pod
