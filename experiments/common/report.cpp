#include "experiments/common/report.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "experiments/common/build_info.h"
#include "experiments/common/command_line.h"
#include "experiments/common/html.h"
#include "experiments/common/options.h"
#include "experiments/common/report_style.h"
#include "kernels/runtime/error.h"
#include "nn/io/file.h"

namespace tweedie::experiments {
namespace {

const char* style_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced:
      return "good";
    case Verdict::not_at_this_scale:
      return "open";
    case Verdict::contradicted:
      return "bad";
    case Verdict::as_measured:
      return "plain";
  }
  return "";
}

// A cell that starts with a digit, perhaps after a sign, is a number and stands to the right.
bool is_number(const std::string& cell) {
  const std::size_t sign = cell.rfind("−", 0) == 0 ? 3 : (!cell.empty() && (cell[0] == '-' || cell[0] == '+') ? 1 : 0);
  return cell.size() > sign && cell[sign] >= '0' && cell[sign] <= '9';
}

std::string number(double value) {
  return fmt::format("{:.4g}", value);
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced:
      return "reproduced";
    case Verdict::not_at_this_scale:
      return "not at this scale";
    case Verdict::contradicted:
      return "contradicted";
    case Verdict::as_measured:
      return "as measured";
  }
  return "";
}

Claim judged(Claim claim) {
  const auto add = [&claim](const char* words) { claim.note += (claim.note.empty() ? "" : "; ") + std::string(words); };
  const bool one_value = claim.high - claim.low <= 1e-9 * std::abs(claim.effect);
  if (claim.seeds == 1 && claim.verdict != Verdict::as_measured) {
    claim.verdict = Verdict::as_measured;
    add("one seed: no verdict");
  } else if (claim.seeds > 1 && one_value) {
    add("the same in every seed");
  }
  return claim;
}

nlohmann::ordered_json claim_json(const Claim& unjudged) {
  const Claim claim = judged(unjudged);
  return {{"statement", claim.statement},
          {"verdict", name_of(claim.verdict)},
          {"effect_name", claim.effect_name},
          {"effect", claim.effect},
          {"low", claim.low},
          {"high", claim.high},
          {"n", claim.n},
          {"seeds", claim.seeds},
          {"note", claim.note}};
}

std::string tally_of(const std::vector<Claim>& claims) {
  const auto count = [&](Verdict verdict) {
    return std::ranges::count_if(claims, [&](const Claim& claim) { return judged(claim).verdict == verdict; });
  };
  const auto holds = count(Verdict::reproduced), open = count(Verdict::not_at_this_scale),
             fails = count(Verdict::contradicted);
  if (holds + open + fails == 0) return "";
  return fmt::format(
      " Of {} claims with a verdict {} hold in this run, {} do not show at this scale and {} are contradicted.",
      holds + open + fails, holds, open, fails);
}

Picture picture_from_file(const std::filesystem::path& path, std::string caption, int width) {
  return {io::read_file(path), std::move(caption), width};
}

Report::Report(std::string title, std::string summary) : title_(std::move(title)), summary_(std::move(summary)) {}

void Report::facts(const std::vector<std::pair<std::string, std::string>>& rows) {
  for (const auto& [name, value] : rows) {
    facts_ += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", html_escape(name), html_escape(value));
  }
}

void Report::section(const std::string& title) {
  sections_.push_back(title);
  body_ += fmt::format("<h2 id=\"section-{}\">{}</h2>\n", sections_.size(), html_escape(title));
}

void Report::text(const std::string& paragraph) {
  body_ += fmt::format("<p>{}</p>\n", html_escape(paragraph));
}

std::string Report::figure_caption(const char* kind, int number, const std::string& caption) const {
  return fmt::format("<figcaption><b>{} {}.</b> {}</figcaption>\n", kind, number, html_escape(caption));
}

void Report::plot(const Plot& plot, const std::string& caption) {
  ++figures_;
  const int columns = plot.columns > 0 ? plot.columns : static_cast<int>(plot.panels.size());
  body_ += fmt::format("<figure class=\"plot\"><div style=\"max-width:{}px\">{}</div>\n{}</figure>\n",
                       plot.panel_width * columns,
                       inline_svg(render_svg(plot), fmt::format("figure-{}-", figures_), caption),
                       figure_caption("Figure", figures_, caption));
}

void Report::table(const Table& table, const std::string& caption) {
  std::string html = "<table class=\"data\"><thead><tr>";
  for (std::size_t column = 0; column < table.columns.size(); ++column) {
    const bool numeric = !table.rows.empty() && column < table.rows[0].size() && is_number(table.rows[0][column]);
    html += fmt::format("<th scope=\"col\"{}>{}</th>", numeric ? " class=\"number\"" : "",
                        html_escape(table.columns[column]));
  }
  html += "</tr></thead><tbody>\n";
  for (const std::vector<std::string>& row : table.rows) {
    require(row.size() == table.columns.size(), "report: table '{}' has {} columns and a row of {} cells", caption,
            table.columns.size(), row.size());
    html += "<tr>";
    for (const std::string& cell : row) {
      html += fmt::format("<td{}>{}</td>", is_number(cell) ? " class=\"number\"" : "", html_escape(cell));
    }
    html += "</tr>\n";
  }
  body_ += fmt::format("<figure><div class=\"wide\">{}</tbody></table></div>\n{}</figure>\n", html,
                       figure_caption("Table", ++tables_, caption));
}

void Report::gallery(const std::vector<Picture>& pictures, const std::string& caption) {
  std::string html = "<figure><div class=\"gallery\">\n";
  for (const Picture& picture : pictures) {
    require(picture.png.size() > 8 && std::memcmp(picture.png.data(), "\x89PNG\r\n\x1a\n", 8) == 0,
            "report: picture '{}' is not a PNG image", picture.caption);
    const std::string size = picture.width > 0 ? fmt::format(" width=\"{}\"", picture.width) : "";
    const std::string below =
        picture.caption.empty() ? "" : fmt::format("<figcaption>{}</figcaption>", html_escape(picture.caption));
    html += fmt::format("<figure><img alt=\"{}\"{} src=\"data:image/png;base64,{}\">{}</figure>\n",
                        html_escape(picture.caption), size, base64(picture.png), below);
  }
  body_ += html + "</div>\n" + figure_caption("Figure", ++figures_, caption) + "</figure>\n";
}

void Report::claims(const std::vector<Claim>& claims, const std::string& caption) {
  std::string html =
      "<table class=\"data claims\"><thead><tr><th scope=\"col\">Claim</th><th scope=\"col\">Verdict</th>"
      "<th scope=\"col\">Measured</th><th scope=\"col\" class=\"number\">Effect</th>"
      "<th scope=\"col\" class=\"number\">95 % interval</th><th scope=\"col\" class=\"number\">n</th>"
      "<th scope=\"col\" class=\"number\">Seeds</th></tr></thead><tbody>\n";
  for (const Claim& unjudged : claims) {
    const Claim claim = judged(unjudged);
    const std::string note =
        claim.note.empty() ? "" : fmt::format("<div class=\"note\">{}</div>", html_escape(claim.note));
    html += fmt::format(
        "<tr><td>{}{}</td><td><span class=\"verdict {}\">{}</span></td><td>{}</td><td class=\"number\">{}</td>"
        "<td class=\"number\">[{}, {}]</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
        html_escape(claim.statement), note, style_of(claim.verdict), name_of(claim.verdict),
        html_escape(claim.effect_name), number(claim.effect), number(claim.low), number(claim.high), claim.n,
        claim.seeds);
  }
  body_ += fmt::format("<figure><div class=\"wide\">{}</tbody></table></div>\n{}</figure>\n", html,
                       figure_caption("Table", ++tables_, caption));
}

std::string Report::html() const {
  std::string contents;
  for (std::size_t i = 0; sections_.size() > 2 && i < sections_.size(); ++i) {
    contents += fmt::format("<a href=\"#section-{}\">{}</a>\n", i + 1, html_escape(sections_[i]));
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>\n{1}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n<p class=\"summary\">{2}</p>\n{3}{4}{5}"
      "<footer>Tweedie {6}, revision {7}</footer>\n</main>\n</body>\n</html>\n",
      html_escape(title_), report_style, html_escape(summary_),
      facts_.empty() ? "" : fmt::format("<table class=\"facts\"><tbody>\n{}</tbody></table>\n", facts_),
      contents.empty() ? "" : fmt::format("<nav>\n{}</nav>\n", contents), body_, version(), git_revision());
}

void Report::write(const std::filesystem::path& path) const {
  io::write_file_atomic(path, html());
}

std::vector<std::pair<std::string, std::string>> run_facts(const CommandLine& line, const std::string& device,
                                                           const std::string& precision, std::uint64_t seed) {
  const nlohmann::ordered_json build = build_info(), host = host_info();
  return {
      {"Command", line.command()},
      {"Device", device},
      {"Precision", precision},
      {"Algorithms", algorithms_on(device == "cuda" ? DeviceKind::cuda : DeviceKind::cpu)},
      {"Threads", std::to_string(omp_get_max_threads())},
      {"Seed", std::to_string(seed)},
      {"Revision", git_revision()},
      {"Build", fmt::format("{}, {}, CUDA {}", build.at("compiler").get<std::string>(),
                            build.at("build_type").get<std::string>(), build.at("cuda").get<bool>() ? "on" : "off")},
      {"Processor", fmt::format("{}, {} cores", host.at("processor").get<std::string>(), host.at("cores").get<int>())},
      {"Date", utc_now()}};
}

}  // namespace tweedie::experiments
