#include "ptx/lexer.h"

namespace tweedie::vgpu::ptx {
namespace {
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '%';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
}  // namespace

std::vector<Token> tokenize(std::string_view text) {
  std::vector<Token> tokens;
  tokens.reserve(text.size() / 5);
  int line = 1;
  std::size_t at = 0;
  while (at < text.size() && text[at] != '\0') {
    const char c = text[at];
    if (c == '\n') ++line;
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      ++at;
      continue;
    }
    if (c == '/' && at + 1 < text.size() && text[at + 1] == '/') {
      while (at < text.size() && text[at] != '\n') ++at;
      continue;
    }
    if (c == '/' && at + 1 < text.size() && text[at + 1] == '*') {
      at += 2;
      while (at + 1 < text.size() && !(text[at] == '*' && text[at + 1] == '/')) {
        if (text[at] == '\n') ++line;
        ++at;
      }
      at += 2;
      continue;
    }
    const std::size_t start = at;
    if (c == '"') {
      ++at;
      while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
      tokens.push_back({TokenKind::string, text.substr(start + 1, at - start - 1), line});
      ++at;
      continue;
    }
    const bool dotted = c == '.' && at + 1 < text.size() && is_letter(text[at + 1]);
    if (is_letter(c) || dotted) {
      ++at;
      while (at < text.size()) {
        const char n = text[at];
        const bool scope = n == ':' && at + 2 < text.size() && text[at + 1] == ':' &&
                           (is_letter(text[at + 2]) || is_digit(text[at + 2]));  // .L2::128B
        if (scope) {
          at += 2;
        } else if (is_letter(n) || is_digit(n) || (n == '.' && !dotted)) {  // .reg.b32 is two words
          ++at;
        } else {
          break;
        }
      }
      tokens.push_back({TokenKind::word, text.substr(start, at - start), line});
      continue;
    }
    if (is_digit(c)) {
      ++at;
      while (at < text.size() &&
             (is_digit(text[at]) || is_letter(text[at]) || text[at] == '.' ||
              ((text[at] == '-' || text[at] == '+') && (text[at - 1] == 'e' || text[at - 1] == 'E') &&
               text.substr(start, 2) != "0x" && text.substr(start, 2) != "0f" && text.substr(start, 2) != "0d")))
        ++at;
      tokens.push_back({TokenKind::number, text.substr(start, at - start), line});
      continue;
    }
    tokens.push_back({TokenKind::symbol, text.substr(at, 1), line});
    ++at;
  }
  tokens.push_back({TokenKind::end, {}, line});
  return tokens;
}

}  // namespace tweedie::vgpu::ptx
