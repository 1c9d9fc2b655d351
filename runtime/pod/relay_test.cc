#include "runtime/pod/relay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "runtime/base/file.h"
#include "runtime/base/socket.h"

namespace pod {
namespace {

class OutputRelayTest : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);  // as the shim does
    loop_ = std::move(*base::EventLoop::Create());
    auto pair = base::SocketPair(SOCK_STREAM | SOCK_NONBLOCK);
    ASSERT_TRUE(pair);
    guest_ = std::move(pair->second);
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    client_.Reset(fds[0]);
    // As of a logging program: no reader of ours keeps it whole.
    auto relay = OutputRelay::Start(*loop_, std::move(pair->first), {},
                                    {base::UniqueFd(fds[1]), {}}, [this] { ended_ = true; });
    ASSERT_TRUE(relay);
    relay_ = std::move(*relay);
  }
  // How often the loop turns before a timer of it fires.
  int Turns() {
    bool fired = false;
    const base::Timer timer =
        loop_->After(std::chrono::milliseconds(100), [&fired] { fired = true; });
    int turns = 0;
    for (; !fired; ++turns) EXPECT_TRUE(loop_->RunOnce(std::chrono::milliseconds(-1)));
    return turns;
  }

  std::unique_ptr<base::EventLoop> loop_;
  base::UniqueFd guest_;
  base::UniqueFd client_;
  std::unique_ptr<OutputRelay> relay_;
  bool ended_ = false;
};

TEST_F(OutputRelayTest, AClientThatHasGoneIsNoNewsUntilThereIsSomethingToWrite) {
  client_.Reset();
  EXPECT_LT(Turns(), 10);
  EXPECT_FALSE(ended_);
  ASSERT_TRUE(base::WriteAll(guest_, stream::Encode("x")));
  Turns();
  EXPECT_TRUE(ended_);
}

TEST_F(OutputRelayTest, AGuestThatHasGoneIsNoNewsWhileTheClientDoesNotRead) {
  // More than the pipe holds.
  const std::string frame = stream::Encode(std::string(30000, 'x'));
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(base::WriteAll(guest_, frame));
    Turns();
  }
  guest_.Reset();
  Turns();
  EXPECT_LT(Turns(), 10);
  size_t taken = 0;
  char buffer[4096];
  while (!ended_) {
    for (ssize_t size; (size = read(client_.get(), buffer, sizeof buffer)) > 0;) {
      taken += static_cast<size_t>(size);
    }
    Turns();
  }
  for (ssize_t size; (size = read(client_.get(), buffer, sizeof buffer)) > 0;) {
    taken += static_cast<size_t>(size);
  }
  EXPECT_EQ(taken, 120000U);
}

// The vmm gave the socket and shares its open file.
TEST_F(OutputRelayTest, AVmmThatTakesNonBlockingAwayDoesNotStopTheLoop) {
  relay_.reset();
  auto pair = base::SocketPair(SOCK_STREAM | SOCK_NONBLOCK);
  ASSERT_TRUE(pair);
  const base::UniqueFd shared(fcntl(pair->first.get(), F_DUPFD_CLOEXEC, 3));
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
  const base::UniqueFd client(fds[0]);
  auto relay = OutputRelay::Start(*loop_, std::move(pair->first), {}, {base::UniqueFd(fds[1]), {}},
                                  [this] { ended_ = true; });
  ASSERT_TRUE(relay);
  ASSERT_EQ(fcntl(shared.get(), F_SETFL, 0), 0);
  ASSERT_TRUE(base::WriteAll(pair->second, stream::Encode("x")));
  Turns();  // it would not come back
  char byte = 0;
  EXPECT_EQ(read(client.get(), &byte, 1), 1);
  EXPECT_FALSE(ended_);
}

TEST(InputRelayTest, AFileIsReadToItsEnd) {
  const auto loop = std::move(*base::EventLoop::Create());
  char path[] = "/tmp/relay_test.XXXXXX";
  const base::UniqueFd file(mkstemp(path));
  ASSERT_TRUE(file);
  unlink(path);
  const std::string text(200000, 'x');
  ASSERT_TRUE(base::WriteAll(file, text));
  ASSERT_EQ(lseek(file.get(), 0, SEEK_SET), 0);
  auto pair = base::SocketPair(SOCK_STREAM | SOCK_NONBLOCK);
  ASSERT_TRUE(pair);
  auto relay = InputRelay::Start(*loop, std::move(pair->first),
                                 {base::UniqueFd(dup(file.get())), base::UniqueFd()});
  ASSERT_TRUE(relay) << relay.error().Message();
  stream::Decoder decoder;
  std::string arrived;
  for (bool eof = false; !eof;) {
    ASSERT_TRUE(loop->RunOnce(std::chrono::milliseconds(10)));
    char buffer[4096];
    const ssize_t size = recv(pair->second.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (size > 0) decoder.Push({buffer, static_cast<size_t>(size)});
    for (auto frame = decoder.Next(); frame && *frame; frame = decoder.Next()) {
      arrived += (*frame)->bytes;
      eof = eof || (*frame)->eof;
    }
  }
  EXPECT_EQ(arrived, text);
}

}  // namespace
}  // namespace pod
