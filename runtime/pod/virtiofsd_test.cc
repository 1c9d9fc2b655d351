#include "runtime/pod/virtiofsd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

namespace pod {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class VirtiofsdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/virtiofsd_test.XXXXXX";
    const int fd = mkstemp(path);
    ASSERT_GE(fd, 0);
    close(fd);
    program_ = path;
  }
  void TearDown() override { unlink(program_.c_str()); }
  void Contain(const std::string& text, mode_t mode = 0755) {
    std::ofstream(program_) << text;
    chmod(program_.c_str(), mode);
  }
  std::string program_;
};

TEST_F(VirtiofsdTest, FlavourIsToldByTheProgramItself) {
  Contain("…--shared-dir…");
  EXPECT_EQ(FindVirtiofsd(program_)->flavour, VirtiofsdFlavour::kRust);
  Contain("…source=PATH…");
  EXPECT_EQ(FindVirtiofsd(program_)->flavour, VirtiofsdFlavour::kC);
}

TEST_F(VirtiofsdTest, WhatIsNoProgramIsNamed) {
  Contain("");
  EXPECT_FALSE(FindVirtiofsd(program_));
  Contain("x", 0644);
  const auto found = FindVirtiofsd(program_);
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().Message(), HasSubstr(program_));
  EXPECT_FALSE(FindVirtiofsd(program_ + "-nowhere"));
  EXPECT_FALSE(FindVirtiofsd("/tmp"));
}

TEST(VirtiofsdArguments, Rust) {
  const auto arguments = VirtiofsdArguments({"/x", VirtiofsdFlavour::kRust}, "/run/p/share", 3);
  EXPECT_THAT(arguments, AllOf(Contains("--fd=3"), Contains("--shared-dir=/run/p/share"),
                               Contains("--sandbox=namespace"), Contains("--seccomp=kill"),
                               Contains("--inode-file-handles=never"), Not(Contains("-f"))));
}

TEST(VirtiofsdArguments, C) {
  const auto arguments = VirtiofsdArguments({"/x", VirtiofsdFlavour::kC}, "/run/p/share", 3);
  EXPECT_THAT(arguments, AllOf(Contains("--fd=3"), Contains("source=/run/p/share"), Contains("-f"),
                               Contains(HasSubstr("sandbox=namespace"))));
}

}  // namespace
}  // namespace pod
