// Socket: requests to the kernel's routing family, rtnetlink(7).
//
// Thread rule: thread-bound; blocks until the kernel has answered, which it does at once. It
// belongs to the network namespace of the thread that opened it, for ever. Trust: the kernel's
// answers are believed, but never read beyond their length.
#pragma once

#include <functional>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/netlink/message.h"

namespace netlink {

class Socket {
 public:
  static base::Result<Socket> Open();

  // Waits for the acknowledgement. An error carries the kernel's errno, and its words if it has
  // any.
  base::Result<void> Do(Message message);
  // Every part of the answer to a request with NLM_F_DUMP; asked again if the tables changed
  // meanwhile, a few times.
  base::Result<std::vector<Reply>> Dump(const Message& message);

 private:
  explicit Socket(base::UniqueFd socket) : socket_(std::move(socket)) {}
  base::Result<void> Send(Message& message);
  // Until `part` says that it was the last.
  using Part = std::function<base::Result<bool>(const nlmsghdr&, std::span<const std::byte>)>;
  base::Result<void> Receive(const Part& part);

  base::UniqueFd socket_;
  uint32_t sequence_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace netlink
