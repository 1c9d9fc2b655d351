#include "runtime/shim/publisher.h"

#include <sys/socket.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "agent-proto/proto/containerd/events.pb.h"
#include "runtime/base/log.h"
#include "runtime/base/socket.h"

namespace shim {
namespace {

constexpr char kService[] = "containerd.services.events.ttrpc.v1.Events";
constexpr char kMethod[] = "Forward";
constexpr char kNamespaceKey[] = "containerd-namespace-ttrpc";
constexpr std::chrono::seconds kTimeout(5);
constexpr std::string_view kScheme = "unix://";

}  // namespace

Publisher::Publisher(base::EventLoop& loop, Options options)
    : loop_(loop), options_(std::move(options)), alive_(std::make_shared<char>()) {
  if (options_.address.compare(0, kScheme.size(), kScheme) == 0) {
    options_.address.erase(0, kScheme.size());
  }
}

Publisher::~Publisher() = default;

void Publisher::Publish(std::string topic, std::string type, std::string event) {
  if (options_.address.empty()) {
    LOG_DEBUG("event {} goes nowhere: TTRPC_ADDRESS is not set", topic);
    return;
  }
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  containerd::events::ForwardRequest request;
  containerd::events::Envelope* envelope = request.mutable_envelope();
  envelope->mutable_timestamp()->set_seconds(now.tv_sec);
  envelope->mutable_timestamp()->set_nanos(static_cast<int32_t>(now.tv_nsec));
  envelope->set_namespace_(options_.ns);
  envelope->set_topic(topic);
  envelope->mutable_event()->set_type_url(std::move(type));
  envelope->mutable_event()->set_value(std::move(event));
  if (queue_.size() >= kMaxQueued) {
    // The first is on its way.
    LOG_ERROR("{} events wait for containerd, {} is dropped", queue_.size(), queue_[1].topic);
    queue_.erase(queue_.begin() + 1);
  }
  queue_.push_back({std::move(topic), request.SerializeAsString(), 0});
  if (sending_ || scheduled_) return;
  scheduled_ = true;
  loop_.Post([this, alive = std::weak_ptr<void>(alive_)] {
    if (alive.expired()) return;
    scheduled_ = false;
    SendNext();
  });
}

void Publisher::Flush(std::chrono::milliseconds limit, std::function<void()> done) {
  flushing_.push_back(std::make_unique<Flushing>(Flushing{std::move(done), {}}));
  flushing_.back()->limit = loop_.After(limit, [this] {
    LOG_WARNING("{} events have not reached containerd", queue_.size());
    FinishFlush();
  });
  if (refusals_ > 0) {
    // Whoever ends us may be a containerd that has just come back.
    refusals_ = 0;
    SendAfter(std::chrono::milliseconds(0));
  }
  if (!queue_.empty()) return;
  loop_.Post([this, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired() && queue_.empty()) FinishFlush();
  });
}

base::Result<void> Publisher::EnsureConnected() {
  if (client_ && !client_closed_) return base::Ok();
  client_.reset();
  base::UniqueFd socket = TRY(base::ConnectUnix(options_.address, SOCK_STREAM | SOCK_NONBLOCK));
  client_ = TRY(ttrpc::Client::Create(loop_, std::move(socket), [this] { client_closed_ = true; }));
  client_closed_ = false;
  return base::Ok();
}

void Publisher::SendNext() {
  if (sending_ || queue_.empty()) return;
  sending_ = true;
  const base::Result<void> connected = EnsureConnected();
  if (!connected) return AwaitContainerd(connected.error());
  refusals_ = 0;
  Item& item = queue_.front();
  ++item.attempts;
  client_->CallRaw(kService, kMethod, item.request,
                   {.timeout = kTimeout, .metadata = {{kNamespaceKey, options_.ns}}},
                   [this](const base::Result<std::string>& answer) { OnAnswer(answer); });
}

void Publisher::OnAnswer(const base::Result<std::string>& answer) {
  if (!answer) {
    Retry(answer.error());
    return;
  }
  sending_ = false;
  queue_.pop_front();
  if (queue_.empty()) {
    FinishFlush();
  } else {
    SendNext();
  }
}

void Publisher::Retry(const base::Error& error) {
  client_closed_ = true;  // whatever it was, the next attempt gets a new connection
  Item& item = queue_.front();
  auto wait = options_.backoff * (item.attempts - 1);
  if (item.attempts >= kMaxAttempts) {
    LOG_ERROR("event {} is lost after {} attempts: {}", item.topic, item.attempts, error.Message());
    queue_.pop_front();
    if (queue_.empty()) {
      sending_ = false;
      FinishFlush();
      return;
    }
    wait = std::chrono::milliseconds(0);
  } else {
    LOG_DEBUG("event {}, attempt {}: {}", item.topic, item.attempts, error.Message());
  }
  // The first retry is at once: a restarted containerd has closed the old connection.
  SendAfter(wait);
}

// Its socket is not there, or nobody listens: it has not seen the event.
void Publisher::AwaitContainerd(const base::Error& error) {
  refusals_ = std::min(refusals_ + 1, kLongestPause);
  if (refusals_ == 1) LOG_WARNING("{} events wait: {}", queue_.size(), error.Message());
  SendAfter(options_.backoff * refusals_);
}

void Publisher::SendAfter(std::chrono::milliseconds pause) {
  backoff_ = loop_.After(pause, [this] {
    sending_ = false;
    SendNext();
  });
}

void Publisher::FinishFlush() {
  for (auto& flushing : std::exchange(flushing_, {})) {
    loop_.Post(std::move(flushing->done));
  }
}

}  // namespace shim
