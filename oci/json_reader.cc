#include "oci/json_reader.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace oci {
namespace {

using Json = nlohmann::json;
using base::Code;

constexpr size_t kShownValueLength = 64;

// Judged before parsing: what nlohmann builds is then bounded by more than the text's own size,
// which it takes some fifty times of.
base::Result<void> CheckShape(std::string_view text, const JsonLimits& limits) {
  std::vector<size_t> commas;  // of each list or object that is open
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (commas.size() == limits.depth) {
        return base::MakeError(Code::kOutOfRange, "JSON is nested more than {} levels deep",
                               limits.depth);
      }
      commas.push_back(0);
    } else if ((c == ']' || c == '}') && !commas.empty()) {
      commas.pop_back();
    } else if (c == ',' && !commas.empty() && ++commas.back() >= limits.list_length) {
      return base::MakeError(Code::kOutOfRange,
                             "JSON has a list or object of more than {} entries, at byte {}",
                             limits.list_length, i + 1);
    }
  }
  return base::Ok();
}

// The value as the user wrote it, cut to one line's worth.
std::string Shown(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kShownValueLength) text = text.substr(0, kShownValueLength) + "…";
  return text;
}

}  // namespace

struct JsonReader::State {
  struct Step {
    const Json* value;
    size_t path_length;  // of the parent
  };

  Json root;
  ClauseOf clause_of = nullptr;
  std::vector<Step> steps;
  std::string path;
  std::optional<std::string> error;

  const Json& at() const { return *steps.back().value; }
};

JsonReader::JsonReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
JsonReader::JsonReader(JsonReader&&) noexcept = default;
JsonReader& JsonReader::operator=(JsonReader&&) noexcept = default;
JsonReader::~JsonReader() = default;

base::Result<JsonReader> JsonReader::Create(std::string_view text, const JsonLimits& limits,
                                            ClauseOf clause_of) {
  if (text.size() > limits.bytes) {
    return base::MakeError(Code::kOutOfRange, "JSON of {} bytes, at most {} are read", text.size(),
                           limits.bytes);
  }
  TRY(CheckShape(text, limits));
  auto state = std::make_unique<State>();
  try {
    state->root = Json::parse(text);
  } catch (const Json::parse_error& error) {
    return base::MakeError(Code::kInvalidArgument, "not JSON (RFC 8259), at byte {} of {}",
                           error.byte, text.size());
  } catch (const Json::exception& error) {  // a number that no double can hold
    return base::MakeError(Code::kInvalidArgument, "JSON that cannot be read: {}", error.what());
  }
  state->clause_of = clause_of;
  state->steps.push_back({&state->root, 0});
  return JsonReader(std::move(state));
}

base::Result<void> JsonReader::status() const {
  if (!state_->error) return base::Ok();
  return base::Error(Code::kInvalidArgument, *state_->error);
}

void JsonReader::Fail(std::string_view problem) {
  if (state_->error) return;
  const std::string_view clause =
      state_->clause_of ? state_->clause_of(state_->path) : std::string_view();
  std::string text =
      state_->path.empty() ? std::string(problem) : fmt::format("{}: {}", state_->path, problem);
  if (!clause.empty()) text += fmt::format(" ({})", clause);
  state_->error = std::move(text);
}

void JsonReader::FailType(std::string_view wanted) {
  Fail(fmt::format("{} where {} must be", Shown(state_->at()), wanted));
}

bool JsonReader::EnterField(std::string_view name) {
  if (state_->error) return false;
  const auto found = state_->at().find(name);
  if (found == state_->at().end() || found->is_null()) return false;
  state_->steps.push_back({&*found, state_->path.size()});
  if (!state_->path.empty()) state_->path += '.';
  // Names come from outside where a map is read: keep them printable and short.
  for (const char c : name.substr(0, kShownValueLength)) {
    state_->path += c >= ' ' && c <= '~' ? c : '?';
  }
  return true;
}

void JsonReader::EnterElement(size_t index) {
  if (state_->error) return;
  CHECK(state_->at().is_array() && index < state_->at().size());
  state_->steps.push_back({&state_->at()[index], state_->path.size()});
  state_->path += '[' + std::to_string(index) + ']';
}

void JsonReader::Leave() {
  if (state_->error) return;
  CHECK(state_->steps.size() > 1);
  state_->path.resize(state_->steps.back().path_length);
  state_->steps.pop_back();
}

void JsonReader::ExpectObject() {
  if (!state_->error && !state_->at().is_object()) FailType("an object");
}

size_t JsonReader::ReadArraySize() {
  if (state_->error) return 0;
  if (!state_->at().is_array()) {
    FailType("an array");
    return 0;
  }
  return state_->at().size();
}

std::vector<std::string> JsonReader::ReadKeys() {
  std::vector<std::string> keys;
  if (state_->error) return keys;
  if (!state_->at().is_object()) {
    FailType("an object");
  } else {
    for (const auto& item : state_->at().items()) {
      if (item.key().find('\0') != std::string::npos) Fail("a key with a NUL byte");
      keys.push_back(item.key());
    }
  }
  return keys;
}

std::string JsonReader::ReadString() {
  if (state_->error) return {};
  const auto* text = state_->at().get_ptr<const Json::string_t*>();
  if (!text) {
    FailType("a string");
    return {};
  }
  if (text->find('\0') != std::string::npos) {
    Fail("a string with a NUL byte, which no kernel interface takes");
    return {};
  }
  return *text;
}

bool JsonReader::ReadBool() {
  if (state_->error) return false;
  const auto* value = state_->at().get_ptr<const Json::boolean_t*>();
  if (!value) FailType("true or false");
  return value && *value;
}

int64_t JsonReader::ReadSigned(int64_t lowest, int64_t highest) {
  if (state_->error) return 0;
  const Json& at = state_->at();
  if (!at.is_number_integer()) {
    FailType("an integer");
    return 0;
  }
  // Unsigned is what nlohmann makes of every integer without a minus sign.
  const auto* big = at.get_ptr<const Json::number_unsigned_t*>();
  if (big && *big > static_cast<uint64_t>(INT64_MAX)) {
    Fail(fmt::format("{} is not within {} … {}", *big, lowest, highest));
    return 0;
  }
  const int64_t value =
      big ? static_cast<int64_t>(*big) : *at.get_ptr<const Json::number_integer_t*>();
  if (value >= lowest && value <= highest) return value;
  Fail(fmt::format("{} is not within {} … {}", value, lowest, highest));
  return 0;
}

uint64_t JsonReader::ReadUnsigned(uint64_t highest) {
  if (state_->error) return 0;
  const Json& at = state_->at();
  const auto* value = at.get_ptr<const Json::number_unsigned_t*>();
  if (value && *value <= highest) return *value;
  if (at.is_number_integer()) {
    Fail(fmt::format("{} is not within 0 … {}", Shown(at), highest));
  } else {
    FailType("an unsigned integer");
  }
  return 0;
}

}  // namespace oci
