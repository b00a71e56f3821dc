// Tokens of PTX text.
#pragma once
#include <string_view>
#include <vector>

#include "core/types.h"

namespace tweedie::vgpu::ptx {

enum class TokenKind : u8 { word, number, string, symbol, end };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;  // word: with its leading '.', '%' or '$'; symbol: one character
  int line = 0;
};

// Words hold letters, digits, _ $ % and, after the first character, points: "ld.global.nc.f32", ".reg", "%tid.x".
std::vector<Token> tokenize(std::string_view text);

}  // namespace tweedie::vgpu::ptx
