#include "vmm/device/uart.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "vmm/device/uart_registers.h"

namespace vmm {
namespace {

class CountingLine : public IrqLine {
 public:
  void Trigger() override { ++edges; }
  base::BorrowedFd eventfd() override { return base::BorrowedFd(); }
  int edges = 0;
};

class UartTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    reader_ = base::UniqueFd(ends[0]);
    uart_ = std::make_unique<Uart>(base::UniqueFd(ends[1]), line_);
  }
  void Out(uint64_t offset, uint8_t value) {
    const std::byte data[1] = {std::byte{value}};
    uart_->Write(offset, data);
  }
  int In(uint64_t offset) {
    std::byte data[1];
    uart_->Read(offset, data);
    return std::to_integer<int>(data[0]);
  }
  std::string Sent() {
    char buffer[4096];
    const ssize_t count = read(reader_.get(), buffer, sizeof(buffer));
    return std::string(buffer, count < 0 ? 0 : static_cast<size_t>(count));
  }
  CountingLine line_;
  base::UniqueFd reader_;
  std::unique_ptr<Uart> uart_;
};

TEST_F(UartTest, SendsALineAtATime) {
  for (const char c : std::string("hi")) Out(uart::kData, static_cast<uint8_t>(c));
  EXPECT_EQ(Sent(), "");
  Out(uart::kData, '\n');
  EXPECT_EQ(Sent(), "hi\n");
  Out(uart::kData, 'x');
  uart_->Flush();
  EXPECT_EQ(Sent(), "x");
}

TEST_F(UartTest, PassesThe8250Probe) {
  Out(uart::kScratch, 0xa5);
  EXPECT_EQ(In(uart::kScratch), 0xa5);
  Out(uart::kInterruptEnable, 0xff);
  EXPECT_EQ(In(uart::kInterruptEnable), 0x0f);
  Out(uart::kModemControl, uart::kLoopback | 0x0a);
  EXPECT_EQ(In(uart::kModemStatus) & 0xf0, 0x90);
  Out(uart::kInterruptId, 1);
  EXPECT_EQ(In(uart::kInterruptId) & 0xc0, 0xc0);  // a 16550A
}

TEST_F(UartTest, DivisorHidesDataAndInterrupts) {
  Out(uart::kLineControl, uart::kDivisorLatch | 3);
  Out(uart::kData, 1);
  Out(uart::kInterruptEnable, 2);
  EXPECT_EQ(In(uart::kData), 1);
  EXPECT_EQ(In(uart::kInterruptEnable), 2);
  Out(uart::kLineControl, 3);
  EXPECT_EQ(In(uart::kInterruptEnable), 0);
  uart_->Flush();
  EXPECT_EQ(Sent(), "");
}

TEST_F(UartTest, TransmitterInterruptComesWhenEnabledAndAfterEachByte) {
  EXPECT_EQ(In(uart::kInterruptId), uart::kIdNone);
  Out(uart::kInterruptEnable, uart::kEnableTransmitEmpty);
  EXPECT_EQ(line_.edges, 1);
  EXPECT_EQ(In(uart::kInterruptId), uart::kIdTransmitEmpty);
  EXPECT_EQ(In(uart::kInterruptId), uart::kIdNone);
  Out(uart::kData, 'a');
  EXPECT_EQ(line_.edges, 2);
  EXPECT_EQ(In(uart::kInterruptId), uart::kIdTransmitEmpty);
}

TEST_F(UartTest, DropsWhatTheReaderDoesNotTake) {
  for (int i = 0; i < 200000; ++i) Out(uart::kData, '\n');
  EXPECT_EQ(In(uart::kLineStatus), uart::kTransmitterEmpty);
  EXPECT_EQ(Sent().size(), 4096u);
}

TEST(UartWithoutOutput, DropsEverything) {
  CountingLine line;
  Uart uart(base::UniqueFd(), line);
  const std::byte data[1] = {std::byte{'\n'}};
  uart.Write(uart::kData, data);
  EXPECT_EQ(line.edges, 0);
}

}  // namespace
}  // namespace vmm
