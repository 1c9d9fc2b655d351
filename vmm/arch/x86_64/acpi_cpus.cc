#include "vmm/arch/x86_64/acpi_cpus.h"

#include <fmt/format.h>

#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/aml.h"
#include "vmm/arch/x86_64/layout.h"

namespace vmm {

namespace {

// ACPI 6.5, 5.6.6, "Device Object Notifications".
constexpr uint8_t kDeviceCheck = 1;
constexpr uint8_t kEjectRequest = 3;
// 6.3.7, _STA: present, enabled, shown, working.
constexpr uint8_t kAllWell = 0xf;
constexpr uint32_t kNoCpu = 0xffffffff;  // CpuHotplug::kNoCpu

// Names: CSEL selects, CNXT is the same register read; CPEN, CINS, CRMV and CEJC are the flags'
// bits; CEVT and CRST report.
std::string Registers() {
  constexpr aml::FieldElement kWords[] = {{"CSEL", 32}, {"", 32}, {"CEVT", 32}, {"CRST", 32}};
  constexpr aml::FieldElement kFlags[] = {{"", 32},    {"CPEN", 1}, {"CINS", 1},
                                          {"CRMV", 1}, {"CEJC", 1}, {"", 4}};
  return aml::PortRegion("CREG", layout::kCpuHotplugPort, layout::kCpuHotplugPorts) +
         aml::Field("CREG", aml::Access::kDword, kWords) +
         aml::Field("CREG", aml::Access::kByte, kFlags) + aml::Mutex("CLCK");
}

// The registers have one selection for all: a method that selects holds the mutex.
std::string Locked(const std::string& body) {
  return aml::Acquire("CLCK") + body + aml::Release("CLCK");
}

std::string Select(const std::string& cpu) { return aml::Store(cpu, "CSEL"); }

std::string Methods(size_t cpus) {
  using namespace aml;
  std::string methods;
  // CSTA(cpu): what _STA says of it.
  methods += Method("CSTA", 1, true,
                    Locked(Store(Integer(0), Local(0)) + Select(Arg(0)) +
                           If(Equal("CPEN", Integer(1)), Store(Integer(kAllWell), Local(0)))) +
                        Return(Local(0)));
  // CEJE(cpu): ejects it.
  methods += Method("CEJE", 1, true, Locked(Select(Arg(0)) + Store(Integer(1), "CEJC")));
  // COST(cpu, event, status): what became of an event.
  methods += Method("COST", 3, true,
                    Locked(Select(Arg(0)) + Store(Arg(1), "CEVT") + Store(Arg(2), "CRST")));
  // CTFY(cpu, event): tells the device of that number.
  std::string notify;
  for (size_t i = 0; i < cpus; ++i) {
    notify += If(Equal(Arg(0), Integer(i)), Notify(fmt::format("C{:03X}", i), Arg(1)));
  }
  methods += Method("CTFY", 2, false, notify);
  // CSCN(): looks for events until there is none.
  const std::string insert =
      If(Equal("CINS", Integer(1)),
         std::string("CTFY") + Local(0) + Integer(kDeviceCheck) + Store(Integer(1), "CINS"));
  const std::string remove =
      If(Equal("CRMV", Integer(1)),
         std::string("CTFY") + Local(0) + Integer(kEjectRequest) + Store(Integer(1), "CRMV"));
  methods += Method(
      "CSCN", 0, true,
      Locked(WhileTrue(Store("CSEL", Local(0)) + If(Equal(Local(0), Integer(kNoCpu)), Break()) +
                       Select(Local(0)) + insert + remove)));
  return methods;
}

std::string CpuDevice(const GuestTopology& topology, size_t cpu, bool several_nodes) {
  using namespace aml;
  const std::string number = Integer(cpu);
  // ACPI0007: a processor device. _MAT is its MADT entry as it is when the CPU is there.
  std::string body = Name("_HID", String("ACPI0007")) + Name("_UID", number) +
                     Method("_STA", 0, false, Return(std::string("CSTA") + number)) +
                     Name("_MAT", Buffer(MadtCpuEntry(topology, cpu, true))) +
                     Method("_OST", 3, false, std::string("COST") + number + Arg(0) + Arg(1));
  if (several_nodes) body += Name("_PXM", Integer(topology.place(cpu).node));
  // The CPU that booted stays.
  if (cpu != 0) body += Method("_EJ0", 1, false, std::string("CEJE") + number);
  return Device(fmt::format("C{:03X}", cpu), body);
}

}  // namespace

std::string CpuHotplugAml(const GuestTopology& topology, bool several_nodes) {
  using namespace aml;
  std::string body = Registers() + Methods(topology.size());
  for (size_t i = 0; i < topology.size(); ++i) body += CpuDevice(topology, i, several_nodes);
  // 5.6.9, "Interrupt-signaled ACPI events": the only event is a CPU's.
  body += Device("GED_", Name("_HID", String("ACPI0013")) + Name("_UID", Integer(0)) +
                             Name("_CRS", ResourceTemplate(EdgeInterrupt(layout::kEventPin))) +
                             Method("_EVT", 1, true, "CSCN"));
  return body;
}

}  // namespace vmm
