// base::Error as google.rpc.Status on the wire, and back.
// Thread rule: reentrant. Internal to the room.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/result.h"

namespace ttrpc {

// A serialised ttrpc.Response. An error leaves the payload empty, since Go's client decodes the
// payload before it looks at the status. An answer over the frame limit becomes kResourceExhausted.
std::string EncodeResponse(const base::Result<std::string>& result);

// The payload, or the peer's status as an Error; a code that base::Code has not is kUnknown.
base::Result<std::string> DecodeResponse(std::string_view bytes);

// `text` if it is UTF-8, else with all that is not printable ASCII as \xNN: Go refuses the whole
// message otherwise, and texts here may quote a guest or a path.
std::string ToUtf8(std::string text);

}  // namespace ttrpc
