#include "runtime/base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace base {
namespace {

using ::testing::HasSubstr;

TEST(LogTest, EscapedIsPrintableAndBounded) {
  EXPECT_EQ(Escaped("plain text ~"), "plain text ~");
  EXPECT_EQ(Escaped(std::string_view("a\n\x1b[2J\0\xff", 8)), "a\\x0a\\x1b[2J\\x00\\xff");
  EXPECT_EQ(Escaped("abcdef", 3), "abc");
  // An escape that does not fit whole is left out whole.
  EXPECT_EQ(Escaped("ab\n", 5), "ab");
  EXPECT_EQ(Escaped("ab\n", 6), "ab\\x0a");
}

// Last in this program: InitLog takes the descriptor for the life of the process.
TEST(LogTest, LinesAreLogrusTextAndAFullPipeNeverBlocks) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd reader(fds[0]), writer(fds[1]);
  InitLog(writer, LogLevel::kWarning);
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  LOG_INFO("not {}", "this");
  LOG_WARNING("say \"{}\"\nsecond\\", "hi");
  char buffer[512];
  const ssize_t count = read(reader.get(), buffer, sizeof buffer);
  ASSERT_GT(count, 0);
  const std::string line(buffer, static_cast<size_t>(count));
  EXPECT_THAT(line, ::testing::StartsWith("time=\""));
  EXPECT_THAT(line, HasSubstr(" level=warning msg=\"say \\\"hi\\\"\\nsecond\\\\\"\n"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);

  for (int i = 0; i < 10000; ++i) LOG_ERROR("{}", std::string(100, 'x'));
  SUCCEED();                                                 // it came back
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);  // kept: the logger outlives this test
  InitLog(BorrowedFd(null), LogLevel::kError);
}

}  // namespace
}  // namespace base
