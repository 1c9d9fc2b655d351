// What the strings that a client gives for stdin, stdout and stderr name (containerd
// pkg/cio, runtime v2 logging, internal/cri/io). Thread rule: pure.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/result.h"

namespace pod {

struct StdioUri {
  enum class Kind {
    kPath,    // a fifo, or a file that is there: "/path", "fifo:///path"
    kFile,    // "file:///path": made if need be, appended to
    kBinary,  // "binary:///path?key=value": a program that reads both outputs
    kStream,  // "ttrpc+unix:///path?streaming_id=ID": a stream that the client opens at our socket
  };
  Kind kind = Kind::kPath;
  std::string path;                    // kStream: our socket's, which nobody looks at
  std::string stream_id;               // kStream
  std::vector<std::string> arguments;  // kBinary: key, value, …, in order

  // As the target of stdout it takes stderr as well, whatever stderr says.
  bool takes_both() const { return kind == Kind::kFile || kind == Kind::kBinary; }
};

// kInvalidArgument for an unknown scheme, a relative path behind a scheme, a bad escape, or a
// stream without an id.
base::Result<StdioUri> ParseStdioUri(const std::string& uri);

}  // namespace pod
