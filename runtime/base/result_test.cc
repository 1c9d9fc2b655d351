#include "runtime/base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace base {
namespace {

Result<int> Positive(int value) {
  if (value > 0) return value;
  return MakeError(Code::kInvalidArgument, "{} is not positive", value);
}
Result<void> Middle(int value) {
  TRY(Positive(value), "while reading {}", "x");
  return Ok();
}
Result<int> Outer(int value) {
  TRY(Middle(value));
  return TRY(Positive(value)) + 1;
}

TEST(ResultTest, TryUnwrapsOrReturnsWithContext) {
  EXPECT_EQ(*Outer(2), 3);
  const auto failed = Outer(-1);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(failed.error().error_number(), 0);
  EXPECT_EQ(failed.error().Message(), "while reading x: -1 is not positive");
}

TEST(ResultTest, TheTrailNamesEveryStepsPlace) {
  const auto failed = Outer(-1);
  ASSERT_FALSE(failed);
  const std::string trail = failed.error().Trail();
  size_t places = 0;
  for (size_t at = 0; (at = trail.find("result_test.cc:", at)) != std::string::npos; ++at) ++places;
  EXPECT_GE(places, 2u) << trail;
}

TEST(ResultTest, TryMovesWhatCannotBeCopied) {
  const auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  const auto use = [&]() -> Result<int> {
    const std::unique_ptr<int> owned = TRY(make());
    return *owned;
  };
  EXPECT_EQ(*use(), 7);
}

TEST(ResultTest, ErrnoErrorKeepsErrnoWhateverFormattingDoes) {
  errno = EACCES;
  const Error error = ErrnoError("open {}", "/x");
  EXPECT_EQ(error.code(), Code::kPermissionDenied);
  EXPECT_EQ(error.error_number(), EACCES);
  EXPECT_EQ(error.Message(), "open /x: Permission denied");
  errno = 99999;
  EXPECT_EQ(ErrnoError("x").Message(), "x: ?");
}

TEST(ResultTest, BracesInArgumentsAreText) {
  errno = ENOENT;
  EXPECT_EQ(ErrnoError("open {}", "{}{").Message(), "open {}{: No such file or directory");
}

TEST(ResultTest, WithCodeKeepsTheTrail) {
  Error error = MakeError(Code::kUnknown, "a");
  error.Push("b", __FILE__, __LINE__);
  const Error changed = std::move(error).WithCode(Code::kAborted);
  EXPECT_EQ(changed.code(), Code::kAborted);
  EXPECT_EQ(changed.Message(), "b: a");
}

TEST(ResultDeathTest, CheckNamesTheCondition) { EXPECT_DEATH(CHECK(1 > 2), "check failed: 1 > 2"); }

}  // namespace
}  // namespace base
