#include "runtime/base/user_namespace.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace base {
namespace {

TEST(UserNamespace, HostIdIsThatOfTheMappingItFallsInto) {
  const std::vector<IdMapping> mappings{{0, 1000, 10}, {10, 5000, 2}};
  EXPECT_EQ(HostId(mappings, 0), 1000U);
  EXPECT_EQ(HostId(mappings, 9), 1009U);
  EXPECT_EQ(HostId(mappings, 11), 5001U);
  EXPECT_EQ(HostId(mappings, 12), std::nullopt);
  EXPECT_EQ(HostId({{5, 0, 1}}, 4), std::nullopt);
}

// clone(2): not as another user than root, and not in a chroot.
bool CanMakeOne() {
  const Result<UniqueFd> made = MakeUserNamespace({{{0, 0, 1}}, {{0, 0, 1}}});
  return made || made.error().error_number() != EPERM;
}

TEST(UserNamespace, IsMadeAndItsChildIsGone) {
  if (!CanMakeOne()) GTEST_SKIP() << "no user namespace can be made here";
  Result<UniqueFd> made = MakeUserNamespace({{{0, 1000, 10}}, {{0, 1000, 10}}});
  ASSERT_TRUE(made) << made.error().Message();
  struct stat own {};
  struct stat other {};
  ASSERT_EQ(stat("/proc/self/ns/user", &own), 0);
  ASSERT_EQ(fstat(made->get(), &other), 0);
  EXPECT_NE(own.st_ino, other.st_ino);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG | __WALL), -1) << "a child is left";
}

TEST(UserNamespace, OverlapIsTheKernelsToRefuse) {
  if (!CanMakeOne()) GTEST_SKIP() << "no user namespace can be made here";
  const Result<UniqueFd> made = MakeUserNamespace({{{0, 1000, 10}, {5, 2000, 10}}, {{0, 0, 1}}});
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().Message().find("uid_map \"0 1000 10\n5 2000 10\n\""), std::string::npos)
      << made.error().Message();
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG | __WALL), -1) << "a child is left";
}

}  // namespace
}  // namespace base
