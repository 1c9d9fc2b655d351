// Sends task events to containerd, one after another in the order of Publish.
//
// Thread rule: bound to the event loop. An event that containerd does not take is sent again, on a
// new connection, at once and then after 1, 2 and 3 s, then dropped with an error in the log; the
// queue waits behind it. While no connection can be made nothing is dropped for it: containerd may
// be restarted, and stay away, at any time. More than kMaxQueued waiting drops the oldest.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent-proto/ttrpc/client.h"
#include "runtime/base/event_loop.h"
#include "runtime/shim/event_sink.h"

namespace shim {

class Publisher : public EventSink {
 public:
  static constexpr size_t kMaxQueued = 2048;
  static constexpr int kMaxAttempts = 5;
  static constexpr int kLongestPause = 5;

  struct Options {
    std::string address;  // TTRPC_ADDRESS, with or without unix://; empty: events go nowhere
    std::string ns;
    // Before the third attempt; each later one waits as much longer. Between attempts to connect
    // this, growing likewise, at most kLongestPause times as much.
    std::chrono::milliseconds backoff{1000};
  };

  // `loop` must outlive the publisher.
  Publisher(base::EventLoop& loop, Options options);
  ~Publisher() override;
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void Publish(std::string topic, std::string type, std::string event) override;
  // Calls `done`, from the loop, when the queue is empty or `limit` has passed.
  void Flush(std::chrono::milliseconds limit, std::function<void()> done);
  size_t queued() const { return queue_.size(); }

 private:
  struct Item {
    std::string topic;
    std::string request;  // serialised ForwardRequest
    int attempts = 0;
  };
  struct Flushing {
    std::function<void()> done;
    base::Timer limit;
  };

  // Sends the first of the queue unless one is on its way.
  void SendNext();
  base::Result<void> EnsureConnected();
  void OnAnswer(const base::Result<std::string>& answer);
  void Retry(const base::Error& error);
  void AwaitContainerd(const base::Error& error);
  void SendAfter(std::chrono::milliseconds pause);
  void FinishFlush();

  base::EventLoop& loop_;
  Options options_;
  std::unique_ptr<ttrpc::Client> client_;
  bool client_closed_ = false;
  std::deque<Item> queue_;
  bool sending_ = false;  // queue_.front() is on its way, or waits for its next attempt
  int refusals_ = 0;      // attempts to connect since the last that succeeded
  bool scheduled_ = false;
  base::Timer backoff_;
  std::vector<std::unique_ptr<Flushing>> flushing_;
  std::shared_ptr<void> alive_;  // what is posted to the loop holds it weakly
};

}  // namespace shim
