// SocketPort is a PacketPort whose other end the test holds: a message is a frame with its header.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>

#include <utility>

#include "vmm/virtio/packet_port.h"

namespace testing_support {

class SocketPort final : public vmm::virtio::PacketPort {
 public:
  // `offloads`, if there is one, must outlive it: the last value set.
  explicit SocketPort(base::UniqueFd socket, unsigned* offloads = nullptr)
      : socket_(std::move(socket)), offloads_(offloads) {
    fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
  }
  base::BorrowedFd fd() const override { return socket_; }
  base::Result<void> SetOffloads(unsigned offloads) override {
    if (offloads_ != nullptr) *offloads_ = offloads;
    return base::Ok();
  }

 private:
  const base::UniqueFd socket_;
  unsigned* const offloads_;
};

}  // namespace testing_support
