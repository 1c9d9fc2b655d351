#include "runtime/pod/placement.h"

namespace pod {
namespace {

class OneFloatingCpu : public Placement {
 public:
  explicit OneFloatingCpu(uint64_t memory_mib) : memory_mib_(memory_mib) {}
  std::vector<VcpuPlace> vcpus() const override { return {VcpuPlace{}}; }
  uint64_t memory_mib() const override { return memory_mib_; }
  std::vector<std::string> cgroups() const override { return {}; }
  base::Result<void> MakeCgroups() override { return base::Ok(); }
  base::Result<void> Place(pid_t) override { return base::Ok(); }
  base::Result<void> AddHelper(pid_t) override { return base::Ok(); }
  base::Result<void> AddAnchor(pid_t) override { return base::Ok(); }
  base::Result<void> Limit() override { return base::Ok(); }

 private:
  uint64_t memory_mib_;
};

}  // namespace

base::Result<std::unique_ptr<Placement>> Placement::Plan(const config::Config& config,
                                                         const oci::Spec&, const std::string&) {
  return std::unique_ptr<Placement>(
      std::make_unique<OneFloatingCpu>(config.guest.default_memory_mib));
}

}  // namespace pod
