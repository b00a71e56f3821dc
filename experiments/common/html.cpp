#include "experiments/common/html.h"

#include "kernels/runtime/error.h"

namespace tweedie::experiments {

std::string html_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string base64(std::span<const std::byte> bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t present = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < present ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0);
    }
    for (std::size_t k = 0; k < 4; ++k) out += k <= present ? digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string inline_svg(std::string_view svg, std::string_view prefix, std::string_view alternative_text) {
  const std::size_t start = svg.find("<svg");
  require(start != std::string_view::npos, "report: a plot is not an SVG image");
  std::string out = fmt::format("<svg role=\"img\" aria-label=\"{}\"", html_escape(alternative_text));
  svg.remove_prefix(start + 4);
  static constexpr std::string_view places[] = {" id=\"", " id='", "href=\"#", "href='#", "url(#", "url('#"};
  for (std::size_t at = 0; at < svg.size();) {
    bool matched = false;
    for (const std::string_view place : places) {
      if (svg.substr(at, place.size()) != place) continue;
      out.append(place).append(prefix);
      at += place.size();
      matched = true;
      break;
    }
    if (!matched) out += svg[at++];
  }
  return out;
}

}  // namespace tweedie::experiments
