#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tweedie::experiments {

/// `text` as it shows in HTML, inside an element or a quoted attribute.
std::string html_escape(std::string_view text);

std::string base64(std::span<const std::byte> bytes);

/// An SVG image made fit to stand inside a page: without its XML head, and with every id (and every reference to one)
/// led by `prefix`, so that two images do not share ids.
std::string inline_svg(std::string_view svg, std::string_view prefix, std::string_view alternative_text);

}  // namespace tweedie::experiments
