#include "runtime/shim/transport_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "runtime/base/file.h"

namespace shim {
namespace {

using config::Transport;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TransportChoiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/transport_choice_test.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    start_.config_path = directory_ + "/config.toml";
    Write("config.toml", "[shim]\ntransport = \"grpc\"\n[paths]\nshim_grpc = \"/opt/g\"\n");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, const std::string& text) {
    const auto file = base::Open(directory_ + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ASSERT_TRUE(file);
    ASSERT_TRUE(base::WriteAll(*file, text));
  }
  // A containerd of which nothing is there but its --version.
  void ContainerdSays(const std::string& line) {
    Write("containerd", "#!/bin/sh\n[ \"$*\" = --version ] && " + line + "\n");
    flags_.publish_binary = directory_ + "/containerd";
  }

  std::string directory_;
  Flags flags_;
  StartOptions start_;
};

TEST_F(TransportChoiceTest, GrpcFor17) {
  ContainerdSays("echo containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6");
  const TransportChoice choice = ChooseTransport(flags_, start_);
  EXPECT_EQ(choice.transport, Transport::kGrpc);
  EXPECT_EQ(choice.program, "/opt/g");
  EXPECT_THAT(choice.refusal, IsEmpty());
}

TEST_F(TransportChoiceTest, TtrpcAndTheReasonForOthers) {
  ContainerdSays("echo containerd github.com/containerd/containerd/v2 2.1.9 2.1.9+ds1-5");
  TransportChoice choice = ChooseTransport(flags_, start_);
  EXPECT_EQ(choice.transport, Transport::kTtrpc);
  EXPECT_EQ(choice.program, "/proc/self/exe");
  EXPECT_THAT(choice.refusal, HasSubstr("containerd 2.1.9 does not"));
  ContainerdSays("exit 3");
  choice = ChooseTransport(flags_, start_);
  EXPECT_EQ(choice.transport, Transport::kTtrpc);
  EXPECT_THAT(choice.refusal, HasSubstr("status 3"));
  ContainerdSays("echo hello");
  EXPECT_THAT(ChooseTransport(flags_, start_).refusal, HasSubstr("no known version"));
}

TEST_F(TransportChoiceTest, AVersionThatWasToldIsNotAskedFor) {
  ContainerdSays("echo containerd x 1.7.24");
  start_.containerd_version = "2.3.4";
  EXPECT_THAT(ChooseTransport(flags_, start_).refusal, HasSubstr("containerd 2.3.4"));
}

TEST_F(TransportChoiceTest, TtrpcUnlessConfigured) {
  ContainerdSays("echo containerd x 1.7.24");
  for (const char* text : {"", "[shim]\ntransport = \"ttrpc\"\n", "no TOML"}) {
    Write("config.toml", text);
    const TransportChoice choice = ChooseTransport(flags_, start_);
    EXPECT_EQ(choice.transport, Transport::kTtrpc) << text;
    EXPECT_THAT(choice.refusal, IsEmpty()) << text;
  }
}

TEST(TakesGrpc, Is17Alone) {
  for (const char* version : {"1.7.0", "v1.7.24", "1.7.24~ds1", "1.7"}) {
    EXPECT_TRUE(TakesGrpc(version)) << version;
  }
  for (const char* version : {"", "1.6.20", "1.70.1", "2.0.0", "v2.1.9", "11.7.1"}) {
    EXPECT_FALSE(TakesGrpc(version)) << version;
  }
}

TEST(TakesVersion3, From2On) {
  for (const char* version : {"2.0.0", "v2.1.9", "2.3.4~rc1", "10.0"}) {
    EXPECT_TRUE(TakesVersion3(version)) << version;
  }
  for (const char* version : {"", "1.6.20", "v1.7.24", "two", ".2"}) {
    EXPECT_FALSE(TakesVersion3(version)) << version;
  }
}

}  // namespace
}  // namespace shim
