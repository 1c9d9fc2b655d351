#include "runtime/base/run_program.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "runtime/base/file.h"

namespace base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

SubprocessOptions Shell(const std::string& script) {
  SubprocessOptions options;
  options.program = "/bin/sh";
  options.argv = {"sh", "-c", script};
  options.env = {"PATH=/bin:/usr/bin"};
  return options;
}

TEST(RunProgram, ItReadsItsInput) {
  EXPECT_TRUE(RunProgram(Shell("[ \"$(cat)\" = hello ]"), "hello", seconds(60)));
  EXPECT_TRUE(RunProgram(Shell("[ $(wc -c) = 1000000 ]"), std::string(1000000, 'x'), seconds(60)));
}

TEST(RunProgram, AFailureSaysWhatTheProgramSaid) {
  const auto result = RunProgram(Shell("echo no luck >&2; exit 3"), "", seconds(60));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(result.error().Message(), HasSubstr("status 3: no luck"));
}

TEST(RunProgram, OneThatTakesTooLongIsKilled) {
  const auto result = RunProgram(Shell("exec sleep 1000"), "", milliseconds(50));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kDeadlineExceeded);
}

TEST(RunProgram, WhatIsNotThereIsSaid) {
  SubprocessOptions options;
  options.program = "/no/such/hook";
  options.argv = {"hook"};
  const auto result = RunProgram(options, "", seconds(60));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().Message(), HasSubstr("/no/such/hook"));
}

}  // namespace
}  // namespace base
