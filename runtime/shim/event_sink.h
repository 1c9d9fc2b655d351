// Where the task service's events go. Thread rule: bound to the event loop.
#pragma once

#include <string>

namespace shim {

class EventSink {
 public:
  virtual ~EventSink() = default;
  // Queued behind all earlier ones. `type` is the message's name, "containerd.events.TaskExit";
  // `event` its bytes.
  virtual void Publish(std::string topic, std::string type, std::string event) = 0;
};

}  // namespace shim
