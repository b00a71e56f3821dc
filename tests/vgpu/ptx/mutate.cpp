#include "ptx/mutate.h"

namespace tweedie::vgpu::ptx {
namespace {

bool is_global_store(const Instruction& in) {
  const std::string& op = in.parts[0];
  if (op != "st" && op != "red" && op != "atom") return false;
  for (const auto& part : in.parts)
    if (part.rfind("shared", 0) == 0 || part == "local" || part.rfind("param", 0) == 0) return false;
  return true;
}

}  // namespace

bool drop_last_store(Function& kernel) {
  for (auto in = kernel.instructions.rbegin(); in != kernel.instructions.rend(); ++in) {
    if (!is_global_store(*in)) continue;
    if (in->parts[0] == "atom") {
      std::string type = in->parts.back();
      if (type[0] == 'f' && type.find("16") != std::string::npos) type = type == "f16x2" ? "b32" : "b16";
      in->parts = {"ld", "global", type == "bf16x2" ? "b32" : type == "bf16" ? "b16" : type};
      in->operands.resize(2);  // the result and the address
    } else {
      in->parts = {"pmevent"};
      in->operands.clear();
    }
    in->text += " (dropped)";
    return true;
  }
  return false;
}

}  // namespace tweedie::vgpu::ptx
