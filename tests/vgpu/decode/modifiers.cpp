// The modifiers that decoding knows, by opcode. An instruction with another one is not decoded: a modifier that nothing
// looks at would be a wrong result.
#include <set>

#include "decode/decoder.h"

namespace tweedie::vgpu {
namespace {

using Words = std::set<std::string, std::less<>>;

struct Family {
  Words opcodes, modifiers;
};

const Words kComparisons = {"eq", "ne",  "lt",  "le",  "gt",  "ge",  "lo",  "ls",  "hi",
                            "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
const Words kAccess = {"weak",   "volatile", "relaxed", "acquire", "release", "acq_rel",      "mmio",
                       "cta",    "gpu",      "sys",     "cluster", "const",   "global",       "local",
                       "shared", "param",    "nc",      "ca",      "cg",      "cs",           "lu",
                       "cv",     "wb",       "wt",      "v2",      "v4",      "shared::cta",  "shared::cluster",
                       "noftz",  "unified",  "add",     "exch",    "cas",     "and",          "or",
                       "xor",    "inc",      "dec",     "min",     "max",     "param::entry", "param::func"};

const std::vector<Family>& families() {
  static const std::vector<Family> table = {
      {{"add", "sub", "mul", "div", "fma", "mad", "addc", "subc", "madc", "mul24", "mad24", "sad", "rem"},
       {"rn", "rz", "rm", "rp", "ftz", "sat", "lo", "hi", "wide", "cc", "approx", "full"}},
      {{"min", "max"}, {"ftz", "NaN", "xorsign", "abs"}},
      {{"abs", "neg", "copysign", "and", "or", "xor", "not", "cnot", "selp", "slct", "sqrt", "rcp", "rsqrt", "sin",
        "cos", "lg2", "ex2", "tanh"},
       {"ftz", "approx", "rn", "rz", "rm", "rp"}},
      {{"shl", "shr", "bfe", "bfi", "brev", "popc", "clz", "fns", "dp4a", "activemask", "nanosleep"}, {}},
      {{"dp2a"}, {"lo", "hi"}},
      {{"bfind"}, {"shiftamt"}},
      {{"lop3"}, {"and", "or"}},
      {{"shf", "bmsk", "szext"}, {"l", "r", "wrap", "clamp"}},
      {{"prmt"}, {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"}},
      {{"testp"}, {"finite", "infinite", "number", "notanumber", "normal", "subnormal"}},
      {{"cvt"},
       {"rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi", "ftz", "sat", "relu", "pack", "satfinite", "e4m3x2",
        "e5m2x2"}},
      {{"mov", "alloca", "stacksave", "stackrestore"}, {}},
      {{"cvta", "isspacep"}, {"to", "global", "shared", "local", "const", "param", "shared::cta", "param::entry"}},
      {{"ld", "ldu", "st", "atom", "red"}, kAccess},
      {{"shfl"}, {"sync", "up", "down", "bfly", "idx"}},
      {{"vote", "match", "redux", "elect"},
       {"sync", "all", "any", "uni", "ballot", "add", "min", "max", "and", "or", "xor"}},
      {{"bar", "barrier"}, {"sync", "arrive", "red", "popc", "and", "or", "cta", "aligned", "warp"}},
      {{"bra", "brx", "call", "ret"}, {"uni", "idx"}},
      {{"vadd2", "vsub2", "vavrg2", "vabsdiff2", "vmin2", "vmax2", "vadd4", "vsub4", "vavrg4", "vabsdiff4", "vmin4",
        "vmax4"},
       {"sat", "add"}},
  };
  return table;
}

bool is_half_arithmetic(const ptx::Instruction& in) {
  return in.parts[0] == "fma" && in.parts.back().find("f16") != std::string::npos;
}

}  // namespace

// Matrix operations, barriers in memory and copies look at all of their modifiers themselves.
void Decoder::check_modifiers(const ptx::Instruction& in) const {
  const std::string& op = in.parts[0];
  for (const auto& family : families()) {
    if (!family.opcodes.count(op)) continue;
    for (std::size_t k = 1; k < in.parts.size(); ++k) {
      const std::string& part = in.parts[k];
      const bool type = ptx::type_bytes(part) || part == "pred";
      const bool hint = part.rfind("L1::", 0) == 0 || part.rfind("L2::", 0) == 0;
      if (type || hint || family.modifiers.count(part)) continue;
      if (part == "relu" && (op == "min" || op == "max" || is_half_arithmetic(in))) continue;
      throw Unsupported("modifier " + part);
    }
    return;
  }
  if (op != "set" && op != "setp") return;
  for (std::size_t k = 1; k < in.parts.size(); ++k) {
    const std::string& part = in.parts[k];
    const bool half = in.parts.back().find("f16") != std::string::npos;
    if (ptx::type_bytes(part) || kComparisons.count(part) || part == "and" || part == "or" || part == "xor") continue;
    if (part == "ftz" && !half) continue;
    throw Unsupported("modifier " + part);
  }
}

}  // namespace tweedie::vgpu
