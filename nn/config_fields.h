#pragma once

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/error.h"

// Reading and writing config.json field by field; for the sources of configurations only.
namespace tweedie::config_fields {

using nlohmann::json;

inline json parse(std::string_view text, std::string_view origin) {
  try {
    json document = json::parse(text);
    require(document.is_object(), "{}: expected a JSON object", origin);
    return document;
  } catch (const json::parse_error& error) {
    fail("{}: not valid JSON at byte {}", origin, error.byte);
  } catch (const json::exception& error) {
    fail("{}: not usable JSON: {}", origin, error.what());
  }
}

// read: false where the value's type does not fit, `to` is then left in any state. expected: that type in words.
inline bool read(const json& from, std::int64_t& to) {
  if (!from.is_number_integer()) return false;
  to = from.get<std::int64_t>();
  return true;
}
inline bool read(const json& from, double& to) {
  if (!from.is_number()) return false;
  to = from.get<double>();
  return true;
}
inline bool read(const json& from, bool& to) {
  if (!from.is_boolean()) return false;
  to = from.get<bool>();
  return true;
}
inline bool read(const json& from, std::string& to) {
  if (!from.is_string()) return false;
  to = from.get<std::string>();
  return true;
}
template <class T>
bool read(const json& from, std::optional<T>& to) {
  to.reset();
  return from.is_null() || read(from, to.emplace());
}
template <class T>
bool read(const json& from, std::vector<T>& to) {
  if (!from.is_array()) return false;
  to.clear();
  return std::all_of(from.begin(), from.end(), [&](const json& entry) { return read(entry, to.emplace_back()); });
}

inline std::string expected(const std::int64_t&) {
  return "a whole number";
}
inline std::string expected(const double&) {
  return "a number";
}
inline std::string expected(const bool&) {
  return "true or false";
}
inline std::string expected(const std::string&) {
  return "a string";
}
template <class T>
std::string expected(const std::optional<T>&) {
  return expected(T()) + " or null";
}
template <class T>
std::string expected(const std::vector<T>&) {
  return "a list, each entry " + expected(T());
}

template <class T>
json written(const T& value) {
  return value;
}
template <class T>
json written(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

/// Throws Error naming the field unless `value` is one of the choices.
inline void require_choice(std::string_view origin, std::string_view field, std::string_view value,
                           std::initializer_list<std::string_view> choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  std::string list;
  for (const std::string_view choice : choices) list += (list.empty() ? "" : ", ") + std::string(choice);
  fail("{}: field {} has the unsupported value \"{}\"; supported: {}", origin, field, value, list);
}

/// Throws Error naming the field unless 1 <= value <= 2^20, a bound that keeps products of three within 64 bits.
inline void require_count(std::string_view origin, std::string_view field, std::int64_t value) {
  constexpr std::int64_t largest = 1 << 20;
  require(value > 0 && value <= largest, "{}: field {} is {}, expected 1 to {}", origin, field, value, largest);
}

/// Throws Error naming the first field of `document` that is not in `known`, and where _class_name is another.
inline void require_known(std::string_view origin, const json& document, std::string_view class_name,
                          const std::vector<std::string>& known) {
  if (const auto name = document.find("_class_name"); name != document.end())
    require(*name == class_name, "{}: field _class_name is {}, expected \"{}\"", origin, name->dump(), class_name);
  for (const auto& entry : document.items())
    require(entry.key() == "_class_name" || entry.key() == "_diffusers_version" || entry.key() == "_name_or_path" ||
                std::find(known.begin(), known.end(), entry.key()) != known.end(),
            "{}: unknown field {}; it has no meaning for {}", origin, entry.key(), class_name);
}

/// A configuration from `text`: visit_fields(config, visitor) calls visitor(name, field) for each field. Absent fields
/// keep their values. Throws Error naming `origin` and the field that is unknown or of another type.
template <class Config, class VisitFields>
Config read_config(std::string_view text, std::string_view origin, std::string_view class_name,
                   VisitFields&& visit_fields) {
  const json document = parse(text, origin);
  Config config;
  std::vector<std::string> known;
  visit_fields(config, [&](const std::string& name, auto& field) {
    known.push_back(name);
    const auto found = document.find(name);
    if (found == document.end()) return;
    require(read(*found, field), "{}: field {} is {}, expected {}", origin, name, found->dump(), expected(field));
  });
  require_known(origin, document, class_name, known);
  return config;
}

/// The same as text, with _class_name.
template <class Config, class VisitFields>
std::string write_config(const Config& config, std::string_view class_name, VisitFields&& visit_fields) {
  json document = {{"_class_name", class_name}};
  visit_fields(config, [&](const char* name, const auto& field) { document[name] = written(field); });
  return document.dump(2) + "\n";
}

}  // namespace tweedie::config_fields
