#pragma once

namespace tweedie::experiments {

/// The style sheet of report.html.
inline constexpr const char* report_style = R"css(
:root { --ink: #1d2530; --soft: #5b6675; --line: #dde2e8; --tint: #f5f7f9; --accent: #2f6db5; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.5rem 3rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .7rem; padding-top: 1.1rem; border-top: 1px solid var(--line); }
p { margin: .6rem 0; max-width: 75ch; }
p.summary { font-size: 1.1rem; line-height: 1.5; color: #36424f; }
table { border-collapse: collapse; font-size: .9rem; }
table.facts { margin: 1.4rem 0; width: 100%; background: var(--tint); border-left: 3px solid var(--accent); }
table.facts th { text-align: left; font-weight: 600; color: var(--soft); width: 8.5rem; white-space: nowrap; }
table.facts th, table.facts td { padding: .22rem .9rem; vertical-align: top; }
table.facts tr:first-child > * { padding-top: .7rem; }
table.facts tr:last-child > * { padding-bottom: .7rem; }
table.facts td { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
                 font-size: .82rem; line-height: 1.75; overflow-wrap: anywhere; }
table.data { min-width: 50%; }
table.data th { text-align: left; font-weight: 600; border-bottom: 2px solid #b9c2cc; vertical-align: bottom; }
table.data th, table.data td { padding: .42rem .8rem; }
table.data td { border-bottom: 1px solid var(--line); vertical-align: top; }
table.data .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
table.claims { width: 100%; }
.note { color: var(--soft); font-size: .84rem; margin-top: .15rem; }
.verdict { display: inline-block; padding: .08rem .6rem; border-radius: 1rem; font-size: .8rem; font-weight: 600;
           white-space: nowrap; border: 1px solid; }
.verdict.good { color: #1b6b48; background: #e6f4ec; border-color: #a9d6be; }
.verdict.open { color: #80570b; background: #fdf3dd; border-color: #e9cf94; }
.verdict.bad { color: #9c2522; background: #fbe9e7; border-color: #ebb8b3; }
.verdict.plain { color: #3d4a59; background: #eef1f4; border-color: #ccd4dc; }
figure { margin: 1.3rem 0; }
figcaption { color: var(--soft); font-size: .87rem; margin-top: .55rem; max-width: 85ch; }
figcaption b { color: var(--ink); font-weight: 600; }
.wide { overflow-x: auto; }
.plot svg { display: block; width: 100%; height: auto; }
.gallery { display: flex; flex-wrap: wrap; gap: 1rem 1.1rem; }
.gallery figure { margin: 0; width: min-content; min-width: 6.5rem; }
.gallery figcaption { font-size: .8rem; margin-top: .3rem; }
.gallery img { display: block; image-rendering: pixelated; border: 1px solid var(--line); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; font-size: .92rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .8rem; }
@media print {
  main { max-width: none; padding: 0; }
  body { font-size: 10.5pt; }
  nav { display: none; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
)css";

}  // namespace tweedie::experiments
