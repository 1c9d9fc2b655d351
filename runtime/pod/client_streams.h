// Streams that a client has opened at the shim's socket, to be a process' standard streams ("ttrpc+
// unix://…?streaming_id=ID"). What a process gets is the end of a pipe; the shim's
// Streaming service is at the other one (runtime/shim/streaming_service.h).
//
// Thread rule: reactor-bound. Ownership: the service outlives the pod.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace pod {

// A process' hold on one stream; destroying it lets the stream go, which the client then reads to
// its end.
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  // An output: `done` is called once, later: when the client has read the end, or has closed.
  virtual void WhenTaken(std::function<void()> done) = 0;
  // An input whose client has gone ends; if he is there, it ends when he closes.
  virtual void CloseInput() = 0;
};

struct OpenedStream {
  std::unique_ptr<ClientStream> stream;
  base::UniqueFd pipe;  // O_NONBLOCK; of an output the end to write, of an input the end to read
};

class ClientStreams {
 public:
  virtual ~ClientStreams() = default;
  // kAlreadyExists if another process has it. The client may come before or after.
  virtual base::Result<OpenedStream> OpenOutput(const std::string& id) = 0;
  virtual base::Result<OpenedStream> OpenInput(const std::string& id) = 0;
};

}  // namespace pod
