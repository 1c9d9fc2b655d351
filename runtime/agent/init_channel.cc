#include "runtime/agent/init_channel.h"

#include <unistd.h>

#include <array>
#include <cstring>
#include <span>

#include "runtime/base/socket.h"

namespace agent {
namespace {

constexpr char kReady = 'r';
constexpr char kFailure = 'e';
constexpr size_t kHeaderBytes = 1 + 2 * sizeof(int32_t);  // kind, code, errno
constexpr size_t kMessageBytes = 4096;

}  // namespace

base::Result<void> SendOrder(base::BorrowedFd channel, InitOrder order) {
  const std::byte byte = static_cast<std::byte>(order);
  return base::SendMessage(channel, {&byte, 1});
}

base::Result<void> AwaitOrder(base::BorrowedFd channel, InitOrder order) {
  char byte = 0;
  const ssize_t size = TEMP_FAILURE_RETRY(read(channel.get(), &byte, 1));
  if (size < 0) return base::ErrnoError("read the agent's order");
  if (size == 0 || byte != static_cast<char>(order)) {
    return base::MakeError(base::Code::kCancelled, "the agent gave the container up");
  }
  return base::Ok();
}

base::Result<void> SendReady(base::BorrowedFd channel, base::BorrowedFd terminal) {
  if (terminal.valid()) {
    const std::byte kind{static_cast<unsigned char>(kReady)};
    return base::SendMessage(channel, {&kind, 1}, {&terminal, 1});
  }
  if (write(channel.get(), &kReady, 1) != 1) return base::ErrnoError("report to the agent");
  return base::Ok();
}

void SendFailure(base::BorrowedFd channel, const base::Error& error) {
  const std::string text = error.Message().substr(0, kMessageBytes - kHeaderBytes);
  const int32_t numbers[2] = {static_cast<int32_t>(error.code()), error.error_number()};
  std::string message(1, kFailure);
  message.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  message += text;
  [[maybe_unused]] const ssize_t ignored = write(channel.get(), message.data(), message.size());
}

base::Result<std::optional<InitReport>> ReceiveReport(base::BorrowedFd channel) {
  std::array<std::byte, kMessageBytes> buffer;
  base::SocketMessage message = TRY(base::ReceiveMessage(channel, buffer, 1));
  if (message.size == 0) return std::optional<InitReport>();
  InitReport report;
  const std::string_view bytes(reinterpret_cast<const char*>(buffer.data()), message.size);
  if (bytes[0] == kReady) {
    report.ready = true;
    if (!message.fds.empty()) report.terminal = std::move(message.fds[0]);
    return std::optional<InitReport>(std::move(report));
  }
  if (bytes[0] != kFailure || bytes.size() < kHeaderBytes) {
    return base::MakeError(base::Code::kInternal, "a report of kind {} and {} bytes",
                           static_cast<int>(bytes[0]), bytes.size());
  }
  int32_t numbers[2];
  std::memcpy(numbers, bytes.data() + 1, sizeof numbers);
  report.error = base::Error(static_cast<base::Code>(numbers[0]),
                             std::string(bytes.substr(kHeaderBytes)), numbers[1]);
  return std::optional<InitReport>(std::move(report));
}

}  // namespace agent
