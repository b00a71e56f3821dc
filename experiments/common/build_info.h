#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace tweedie::experiments {

/// The source revision this program was built from: 40 hex digits, then "-dirty" where files differed from it;
/// "unknown" outside a git checkout.
std::string git_revision();
std::string version();

/// {version, git_revision, compiler, build_type, cuda, libraries {name: version}}.
nlohmann::ordered_json build_info();
/// {name, system, processor, cores, threads, memory_bytes}.
nlohmann::ordered_json host_info();
/// The time now as 2025-01-31T12:34:56Z.
std::string utc_now();

}  // namespace tweedie::experiments
