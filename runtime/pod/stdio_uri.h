// What the strings that a client gives for stdin, stdout and stderr name (containerd
// pkg/cio, runtime v2 logging). Thread rule: pure.
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
  };
  Kind kind = Kind::kPath;
  std::string path;
  std::vector<std::string> arguments;  // kBinary: key, value, …, in order

  // Other than kPath, the target of stdout takes stderr as well, whatever stderr says.
  bool takes_both() const { return kind != Kind::kPath; }
};

// kInvalidArgument for an unknown scheme, a relative path behind a scheme, or a bad escape.
base::Result<StdioUri> ParseStdioUri(const std::string& uri);

}  // namespace pod
