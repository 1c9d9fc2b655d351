#include "runtime/cgroup/cgroup_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/cpu/weight.h"

namespace cgroup {
namespace {

std::string Resolved(const std::string& text) {
  const auto path = ResolvePath(text, "pod1");
  return path ? *path : "error: " + path.error().Message();
}

TEST(CgroupPathTest, PlainPaths) {
  EXPECT_EQ(Resolved("/default/c1"), "/default/c1");
  EXPECT_EQ(Resolved("default/c1"), "/default/c1");
  EXPECT_EQ(Resolved("//a/./b/"), "/a/b");
  EXPECT_EQ(Resolved(""), "/pinion/pod1");
  EXPECT_EQ(Resolved("/a:b:c"), "/a:b:c");
}

TEST(CgroupPathTest, OnRecordSystemdsFormStays) {
  EXPECT_EQ(*PathOnRecord("a-b.slice:p:n", "pod1"), "a-b.slice:p:n");
  EXPECT_EQ(*PathOnRecord("//a.slice/p-n.scope/", "pod1"), "/a.slice/p-n.scope");
  EXPECT_EQ(*PathOnRecord("", "pod1"), "/pinion/pod1");
  EXPECT_FALSE(PathOnRecord("a.slice:p:n\n", "pod1"));
}

TEST(CgroupPathTest, SystemdForm) {
  EXPECT_EQ(Resolved("system.slice:cri-containerd:abc"), "/system.slice/cri-containerd-abc.scope");
  EXPECT_EQ(Resolved("kubepods-burstable-pod1.slice:cri-containerd:x"),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/"
            "cri-containerd-x.scope");
  EXPECT_EQ(Resolved(":p:n"), "/system.slice/p-n.scope");
  EXPECT_EQ(Resolved("-.slice:p:n"), "/p-n.scope");
  EXPECT_EQ(Resolved("a.slice::n"), "/a.slice/n.scope");
}

TEST(CgroupPathTest, UnitsOfSystemd) {
  const auto unit = SystemdScopeOf("kubepods-pod1.slice:cri-containerd:x");
  ASSERT_TRUE(unit);
  EXPECT_EQ(unit->slice, "kubepods-pod1.slice");
  EXPECT_EQ(unit->name, "cri-containerd-x.scope");
  EXPECT_EQ(SystemdScopeOf(":p:n")->slice, "system.slice");
  EXPECT_EQ(SystemdScopeOf("a.slice::n")->name, "n.scope");
  for (const char* text : {"", "/a/b", "/a:b:c", "a.slice:p", "a.service:p:n", "a--b.slice:p:n"}) {
    EXPECT_FALSE(SystemdScopeOf(text)) << text;
  }
}

TEST(CgroupPathTest, RefusesWhatLeavesOrIsTheRoot) {
  for (const char* text :
       {"/", "/..", "/a/../b", "..", ".", "//", "a.service:p:n", "a--b.slice:p:n", "-a.slice:p:n",
        "a-.slice:p:n", ".slice:p:n", "a.slice:p/../..:n", "a.slice:p:", "/a\nb"}) {
    const auto path = ResolvePath(text, "pod1");
    ASSERT_FALSE(path) << text << " gave " << *path;
    EXPECT_EQ(path.error().code(), base::Code::kInvalidArgument);
    EXPECT_THAT(path.error().Message(), ::testing::HasSubstr("linux.cgroupsPath"));
  }
  EXPECT_FALSE(ResolvePath("/" + std::string(256, 'x'), "p"));
  EXPECT_FALSE(ResolvePath("", "../x"));
  EXPECT_FALSE(ResolvePath("", ".."));
}

TEST(WeightTest, MapsTheEndsAndTheDefault) {
  EXPECT_EQ(cpu::WeightFromShares(2), 1u);
  EXPECT_EQ(cpu::WeightFromShares(262144), 10000u);
  EXPECT_EQ(cpu::WeightFromShares(1024), 39u);
  EXPECT_EQ(cpu::WeightFromShares(0), 1u);
  EXPECT_EQ(cpu::WeightFromShares(UINT64_MAX), 10000u);
}

}  // namespace
}  // namespace cgroup
