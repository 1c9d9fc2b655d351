#include "runtime/base/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>

namespace base {
namespace {

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

class MessageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pair = SocketPair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    ASSERT_TRUE(pair);
    near_ = std::move(pair->first);
    far_ = std::move(pair->second);
  }
  std::span<const std::byte> Bytes(size_t count) { return std::span(bytes_).first(count); }

  std::array<std::byte, 64> bytes_{std::byte{'p'}, std::byte{'q'}};
  std::array<std::byte, 16> buffer_{};
  UniqueFd near_, far_;
};

TEST_F(MessageTest, BytesAndDescriptorsArriveTogether) {
  const std::array<BorrowedFd, 2> fds = {near_, far_};
  ASSERT_TRUE(SendMessage(near_, Bytes(2), fds));
  const auto received = ReceiveMessage(far_, buffer_, 2);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->size, 2u);
  EXPECT_EQ(buffer_[1], std::byte{'q'});
  ASSERT_EQ(received->fds.size(), 2u);
  EXPECT_TRUE(fcntl(received->fds[0].get(), F_GETFD) & FD_CLOEXEC);
  struct stat sent {
  }, got{};
  ASSERT_EQ(fstat(far_.get(), &sent), 0);
  ASSERT_EQ(fstat(received->fds[1].get(), &got), 0);
  EXPECT_EQ(sent.st_ino, got.st_ino);
}

TEST_F(MessageTest, SurplusDescriptorsAreAnErrorAndLeakNothing) {
  const size_t before = OpenDescriptors();
  const std::array<BorrowedFd, 3> fds = {near_, near_, near_};
  // 1: the kernel's buffer has room for two; 0: it has none.
  for (const size_t limit : {size_t{2}, size_t{1}, size_t{0}}) {
    ASSERT_TRUE(SendMessage(near_, Bytes(1), std::span(fds).first(limit + 1)));
    const auto received = ReceiveMessage(far_, buffer_, limit);
    ASSERT_FALSE(received) << limit;
    EXPECT_EQ(received.error().code(), Code::kOutOfRange);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(MessageTest, ALongMessageIsAnErrorAndTheNextOneIsWhole) {
  ASSERT_TRUE(SendMessage(near_, Bytes(17)));
  ASSERT_TRUE(SendMessage(near_, Bytes(16)));
  EXPECT_EQ(ReceiveMessage(far_, buffer_, 0).error().code(), Code::kOutOfRange);
  const auto next = ReceiveMessage(far_, buffer_, 0);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->size, 16u);
}

TEST_F(MessageTest, NothingThereClosedAndFull) {
  EXPECT_EQ(ReceiveMessage(far_, buffer_, 0).error().error_number(), EAGAIN);
  Result<void> sent = Ok();
  while (sent) sent = SendMessage(near_, Bytes(64));
  EXPECT_EQ(sent.error().code(), Code::kResourceExhausted);
  far_.Reset();
  const auto broken = SendMessage(near_, Bytes(1));  // and no SIGPIPE
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code(), Code::kUnavailable);
}

TEST_F(MessageTest, AClosedPeerIsSizeZero) {
  near_.Reset();
  const auto received = ReceiveMessage(far_, buffer_, 0);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->size, 0u);
}

TEST(UnixSocketTest, ListenConnectAccept) {
  const std::string path = ::testing::TempDir() + "/pinion-socket-test";
  unlink(path.c_str());
  const auto listener = ListenUnix(path, SOCK_STREAM);
  ASSERT_TRUE(listener);
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(ListenUnix(path, SOCK_STREAM).error().code(), Code::kAlreadyExists);
  const auto client = ConnectUnix(path, SOCK_STREAM);
  ASSERT_TRUE(client);
  const auto server = Accept(*listener);
  ASSERT_TRUE(server);
  EXPECT_TRUE(fcntl(server->get(), F_GETFD) & FD_CLOEXEC);
  unlink(path.c_str());
  EXPECT_EQ(ConnectUnix(path, SOCK_STREAM).error().code(), Code::kNotFound);
  EXPECT_EQ(ListenUnix(std::string(108, 'x'), SOCK_STREAM).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace base
