#include "agent-proto/ttrpc/acceptor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/base/socket.h"

namespace ttrpc {
namespace {

constexpr uid_t kNobody = 65534;

class AcceptorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/acceptor_test.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    acceptor_ = std::make_unique<Acceptor>(*loop_, [this](base::UniqueFd socket) {
      taken_.push_back(std::move(socket));
      return base::Ok();
    });
    auto listener = base::ListenUnix(Path(), SOCK_STREAM | SOCK_NONBLOCK);
    ASSERT_TRUE(listener);
    ASSERT_TRUE(acceptor_->Listen(std::move(*listener)));
  }
  void TearDown() override {
    acceptor_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::string Path() const { return directory_ + "/socket"; }
  void Turn() { ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(1000))); }

  std::string directory_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Acceptor> acceptor_;
  std::vector<base::UniqueFd> taken_;
};

TEST_F(AcceptorTest, TakesOurOwn) {
  auto client = base::ConnectUnix(Path(), SOCK_STREAM);
  ASSERT_TRUE(client);
  Turn();
  EXPECT_EQ(taken_.size(), 1u);
}

TEST_F(AcceptorTest, RefusesAnotherUid) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  ASSERT_EQ(chmod(Path().c_str(), 0666), 0);
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  // The system call itself: this thread's identity alone.
  ASSERT_EQ(syscall(SYS_setresuid, -1, kNobody, -1), 0);
  auto client = base::ConnectUnix(Path(), SOCK_STREAM);
  ASSERT_EQ(syscall(SYS_setresuid, -1, 0, -1), 0);
  ASSERT_TRUE(client);
  Turn();
  EXPECT_TRUE(taken_.empty());
  char byte;
  EXPECT_EQ(recv(client->get(), &byte, 1, 0), 0);
}

TEST_F(AcceptorTest, StoppedIsClosed) {
  acceptor_->Stop();
  EXPECT_FALSE(base::ConnectUnix(Path(), SOCK_STREAM));
}

}  // namespace
}  // namespace ttrpc
