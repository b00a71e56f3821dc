#include "kernels/bfloat16_cases.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>

#include "kernels/elementwise/elementwise.h"
#include "kernels/runtime/operands.h"
#include "tests/kernels/parity.h"

namespace tweedie::testing_tools {
namespace {

/// The cpu backend with bfloat16 operands, one test an operation; tests/cuda has the same for cuda.
class Bfloat16 : public testing::TestWithParam<Bfloat16Operation> {};

TEST_P(Bfloat16, QuickCasesAgreeWithReference) {
  for (const OperationCase& operation_case : bfloat16_cases())
    if (operation_case.operation == GetParam().name && operation_case.level == CaseLevel::quick)
      for (const Alignment alignment : {Alignment::allocator, Alignment::element})
        for (const std::string& failure : check_parity(operation_case, {DeviceKind::cpu, 0}, alignment).failures)
          ADD_FAILURE() << operation_case.label << ": " << failure;
}

INSTANTIATE_TEST_SUITE_P(Operations, Bfloat16, testing::ValuesIn(bfloat16_operations()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Bfloat16Operations, AreAllButThoseThatStayFloat32) {
  std::set<std::string_view> listed = float32_operations();
  for (const Bfloat16Operation& operation : bfloat16_operations()) {
    EXPECT_TRUE(listed.insert(operation.name).second) << operation.name << " is listed twice";
    // A name that no operand has would be a slip of the pen.
    std::set<std::string_view> unknown = operation.float32;
    for (const OperationCase& operation_case : all_cases())
      if (operation_case.operation == operation.name)
        for (const Operand& operand : operation_case.operands) unknown.erase(operand.name);
    for (const std::string_view operand : unknown) ADD_FAILURE() << operation.name << " has no operand " << operand;
  }
  for (const OperationBase* operation : all_operations())
    EXPECT_TRUE(listed.contains(operation->name())) << operation->name() << " is in neither list";
}

Stream& cpu() {
  return default_stream({DeviceKind::cpu, 0});
}

struct Example {
  double factor = 1.0;
  Array x, y;
  Shape extents;
  Array z;
};

TEST(Operands, AreFoundInAnyStruct) {
  const auto offsets = operand_offsets<Example>();
  ASSERT_EQ(offsets.size(), 3u);
  EXPECT_EQ(offsets[0], offsetof(Example, x));
  EXPECT_EQ(offsets[1], offsetof(Example, y));
  EXPECT_EQ(offsets[2], offsetof(Example, z));
}

TEST(Operands, ShareACopyWhereTheyAreOneArrayAndKeepTheBitsOfWhatIsNotWritten) {
  std::vector<std::uint16_t> values(65536);  // every bfloat16 there is, all NaNs included
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(i);
  const std::vector<std::uint16_t> before = values;
  std::vector<float> others(3);
  const Array x{values.data(), {65536}, DType::bfloat16}, z{others.data(), {3}, DType::float32};
  WideOperands wide(cpu());
  const Example widened = wide.widened(Example{.x = x, .y = x, .extents = {}, .z = z});
  EXPECT_EQ(widened.x.dtype, DType::float32);
  EXPECT_EQ(widened.x.data, widened.y.data);
  EXPECT_EQ(widened.z.data, z.data);
  wide.round();
  EXPECT_EQ(values, before);
  auto* written = widened.y.as<float>();
  written[0] = 1.0f + 0x1p-8f;  // halfway: to even
  written[1] = 1.0f + 0x1p-8f + 0x1p-20f;
  written[2] = -3.4e38f;                           // beyond the largest
  written[3] = std::bit_cast<float>(0x7f800001u);  // a NaN of the last place alone
  wide.round();
  EXPECT_EQ(values[0], 0x3f80);
  EXPECT_EQ(values[1], 0x3f81);
  EXPECT_EQ(values[2], 0xff80);
  EXPECT_EQ(values[3], 0x7fc0);
}

TEST(Operands, InPlaceInBfloat16OnTheCpu) {
  std::vector<std::uint16_t> values = {0x3f80, 0x4000, 0xc040};  // 1, 2, -3
  const Array x{values.data(), {3}, DType::bfloat16};
  unary(cpu(), {.kind = UnaryKind::square, .x = x, .y = x});
  EXPECT_EQ(values, (std::vector<std::uint16_t>{0x3f80, 0x4080, 0x4110}));  // 1, 4, 9
}

}  // namespace
}  // namespace tweedie::testing_tools
