//! One page that stands for itself: a matrix of areas by testees, and every failure with what was got and expected.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::junit::escaped;
use super::{Report, fails, in_one_piece, outcome};
use crate::judge::Outcome;
use crate::vectors::AREAS;

/// The page of several runs over the same vectors: no file besides it, and no script but for the filter.
pub fn html(reports: &[Report]) -> String {
    let mut reports: Vec<&Report> = reports.iter().collect();
    // The engine first, then by name.
    reports.sort_by_key(|report| (!report.name().starts_with("engine"), report.name().to_owned()));
    let columns: Vec<&Report> = reports.iter().copied().filter(|report| !is_live(report)).collect();
    let live: Vec<&Report> = reports.iter().copied().filter(|report| is_live(report)).collect();
    let mut out = String::from(HEAD);
    summary(&reports, &mut out);
    for report in &columns {
        if let Some(why) = report.header["not_run"].as_str() {
            let name = escaped(report.name());
            let _ = writeln!(out, "<p class=\"banner\"><b>{name} was not run:</b> {}</p>", escaped(why));
        }
    }
    if !columns.is_empty() {
        matrix(&columns, &mut out);
    }
    for report in &live {
        live_matrix(report, &mut out);
    }
    problems(&reports, &mut out);
    known(&columns, &mut out);
    about(&reports, &mut out);
    out.push_str("</main>\n</html>\n");
    out
}

fn is_live(report: &Report) -> bool {
    report.header["profile"] == "full" && report.name() == "live"
}

fn failed(report: &Report, area: Option<&str>) -> usize {
    report.lines.iter().filter(|line| area.is_none_or(|area| line["area"] == area) && fails(line)).count()
}

fn summary(reports: &[&Report], out: &mut String) {
    let total = |wanted: Outcome| reports.iter().map(|report| report.count(None, wanted)).sum::<usize>();
    let failures: usize = reports.iter().map(|report| failed(report, None) + report.failures().len()).sum();
    let (passed, known, unsupported) =
        (total(Outcome::Pass), total(Outcome::Known), total(Outcome::Unsupported));
    let all = passed + known + unsupported;
    let (word, class) = match (failures, known + unsupported) {
        (1.., _) => ("There are failures".to_owned(), "bad"),
        (0, 0) if passed > 0 => ("All passed".to_owned(), "good"),
        (0, _) => (format!("Passed as far as supported: {} of {}", grouped(passed), grouped(all)), "part"),
    };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<header class=\"{class}\"><h1>NATSBridge conformance</h1><p class=\"verdict\">{word}</p><dl>"
    );
    for (name, count) in
        [("passed", passed), ("failed", failures), ("known failures", known), ("not supported", unsupported)]
    {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", grouped(count));
    }
    out.push_str("</dl></header>\n<main>\n");
}

/// A number with its thousands told apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn matrix(reports: &[&Report], out: &mut String) {
    out.push_str(
        "<section><h2>Vectors</h2>\n<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th></th>",
    );
    for report in reports {
        let language = report.header["testee"]["language"].as_str().unwrap_or_default();
        let profile = report.header["profile"].as_str().unwrap_or_default();
        let _ = write!(
            out,
            "<th scope=\"col\">{}<small>{}</small><small>{}</small></th>",
            escaped(report.name()),
            escaped(language),
            escaped(profile)
        );
    }
    out.push_str("</tr></thead><tbody>\n");
    for area in AREAS.iter().filter(|area| **area != "live") {
        if reports.iter().all(|report| report.lines.iter().all(|line| line["area"] != *area)) {
            continue;
        }
        let _ = write!(out, "<tr><th scope=\"row\">{area}</th>");
        reports.iter().for_each(|report| cell(report, Some(area), out));
        out.push_str("</tr>\n");
    }
    out.push_str("<tr class=\"sum\"><th scope=\"row\">all</th>");
    reports.iter().for_each(|report| cell(report, None, out));
    out.push_str(
        "</tr></tbody></table></div>\n<p class=\"legend\"><span class=\"chip good\">all passed</span> \
        <span class=\"chip part\">passed as far as supported</span> <span class=\"chip bad\">failures</span> \
        <span class=\"chip none\">not run</span></p></section>\n",
    );
}

/// One cell: how many passed, how many failed, and what else there is to say.
fn cell(report: &Report, area: Option<&str>, out: &mut String) {
    let count = |wanted: Outcome| report.count(area, wanted);
    let (passed, failed) = (count(Outcome::Pass), failed(report, area));
    let (known, unsupported) = (count(Outcome::Known), count(Outcome::Unsupported));
    let class = match (passed, failed, known + unsupported) {
        (_, 1.., _) => "bad",
        (0, 0, _) => "none",
        (_, 0, 0) => "good",
        _ => "part",
    };
    let mut small = Vec::new();
    if known > 0 {
        small.push(format!("{known} known"));
    }
    let whole = in_one_piece(report, area);
    if whole > 0 {
        small.push(format!("{whole} in one piece only"));
    }
    if unsupported > 0 {
        small.push(format!("{unsupported} not supported"));
    }
    if let Some(why) = report.header["not_run"].as_str() {
        let _ = write!(out, "<td class=\"none\" title=\"{}\">not run</td>", escaped(why));
        return;
    }
    let big = match class {
        "bad" => format!("{failed} of {} failed", passed + failed),
        "none" if known + unsupported == 0 && word(&report.header, "filter").is_empty() => {
            "not in its profile".to_owned()
        }
        "none" if known + unsupported == 0 => "not asked".to_owned(),
        "none" => "not supported".to_owned(),
        _ => passed.to_string(),
    };
    if class == "none" {
        small.clear();
    }
    let _ = write!(out, "<td class=\"{class}\">{big}");
    if !small.is_empty() {
        let _ = write!(out, "<small>{}</small>", small.join(", "));
    }
    out.push_str("</td>");
}

fn live_matrix(report: &Report, out: &mut String) {
    let mut cells: BTreeMap<(&str, &str), (usize, usize, usize)> = BTreeMap::new();
    let mut names: Vec<&str> = Vec::new();
    for line in &report.lines {
        let (sender, receiver) = (word(line, "sender"), word(line, "receiver"));
        for name in [sender, receiver] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let cell = cells.entry((sender, receiver)).or_default();
        if outcome(line) == Outcome::Pass {
            cell.0 += 1;
        } else if fails(line) {
            cell.1 += 1;
        } else {
            cell.2 += 1;
        }
    }
    out.push_str(
        "<section><h2>Live: every sender to every receiver</h2>\n\
        <div class=\"scroll\"><table class=\"matrix\"><thead><tr><th>from \\ to</th>",
    );
    for name in &names {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(name));
    }
    out.push_str("</tr></thead><tbody>\n");
    for sender in &names {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escaped(sender));
        for receiver in &names {
            let _ = match cells.get(&(*sender, *receiver)) {
                None => write!(out, "<td class=\"none\">not run</td>"),
                Some((passed, 0, 0)) => write!(out, "<td class=\"good\">{passed}</td>"),
                Some((0, 0, _)) => write!(out, "<td class=\"none\">not run</td>"),
                Some((passed, 0, skipped)) => {
                    write!(out, "<td class=\"part\">{passed}<small>{skipped} not run</small></td>")
                }
                Some((passed, failed, _)) => {
                    write!(out, "<td class=\"bad\">{failed} of {} failed</td>", passed + failed)
                }
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn word<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

fn problems(reports: &[&Report], out: &mut String) {
    let any = reports.iter().any(|report| failed(report, None) + report.failures().len() > 0);
    if !any {
        return;
    }
    out.push_str(
        "<section><h2>Failures</h2>\n<p><label>Show only <input id=\"find\" type=\"search\" \
        placeholder=\"a port, an id, a word\"></label></p>\n",
    );
    for report in reports {
        for failure in report.failures() {
            let _ = writeln!(
                out,
                "<article class=\"case bad\"><h3><span class=\"port\">{}</span> the run itself</h3><p>{}</p></article>",
                escaped(report.name()),
                escaped(&failure)
            );
        }
        for line in report.lines.iter().filter(|line| fails(line)) {
            problem(report.name(), line, out);
        }
    }
    out.push_str("</section>\n");
}

fn problem(name: &str, line: &Value, out: &mut String) {
    let split =
        if word(line, "split").is_empty() { String::new() } else { format!(" · {}", word(line, "split")) };
    let clause = [word(line, "level"), word(line, "clause")].join(" ");
    let _ = write!(
        out,
        "<article class=\"case bad\"><h3><span class=\"port\">{}</span> <code>{}</code> <span class=\"tag\">{}</span>\
         <small>{}{}</small></h3><p>{}</p>",
        escaped(name),
        escaped(word(line, "id")),
        escaped(word(line, "outcome")),
        escaped(clause.trim()),
        escaped(&split),
        escaped(word(line, "comment"))
    );
    out.push_str("<dl>");
    for (label, key) in
        [("asked", "asked"), ("got", "got"), ("expected", "expected"), ("note", "note"), ("again", "rerun")]
    {
        if !word(line, key).is_empty() {
            let _ = write!(out, "<dt>{label}</dt><dd><pre>{}</pre></dd>", escaped(word(line, key)));
        }
    }
    out.push_str("</dl></article>\n");
}

fn known(reports: &[&Report], out: &mut String) {
    let lines: Vec<(&str, &Value)> = reports
        .iter()
        .flat_map(|report| report.lines.iter().map(|line| (report.name(), line)))
        .filter(|(_, line)| outcome(line) == Outcome::Known)
        .collect();
    if lines.is_empty() {
        return;
    }
    out.push_str(
        "<section><h2>Known failures</h2>\n<div class=\"scroll\"><table class=\"list\"><thead><tr>\
        <th>port</th><th>case</th><th>about</th><th>reason</th></tr></thead><tbody>\n",
    );
    for (name, line) in lines {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escaped(name),
            escaped(word(line, "id")),
            escaped(word(line, "comment")),
            escaped(word(line, "note"))
        );
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn about(reports: &[&Report], out: &mut String) {
    out.push_str(
        "<section><h2>Runs</h2>\n<div class=\"scroll\"><table class=\"list runs\"><thead><tr><th>port</th>\
        <th>version</th><th>started</th><th>took</th><th>NATS</th><th>command</th></tr></thead><tbody>\n",
    );
    for report in reports {
        let header = &report.header;
        let seconds = report.footer.as_ref().and_then(|footer| footer["seconds"].as_f64()).unwrap_or(0.0);
        let filter = word(header, "filter");
        let only =
            if filter.is_empty() { String::new() } else { format!(" <b>only {}</b>", escaped(filter)) };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{seconds:.1} s</td><td>{}</td><td><code>{}</code>{only}</td></tr>",
            escaped(report.name()),
            escaped(word(&header["testee"], "version")),
            escaped(&word(header, "started").replace('T', " ").chars().take(19).collect::<String>()),
            escaped(word(header, "nats")),
            escaped(word(header, "command"))
        );
    }
    let first = reports.first().map(|report| &report.header);
    let digest = first.map_or("", |header| word(header, "vectors"));
    let commit = first.map_or("", |header| word(header, "commit"));
    let _ = write!(
        out,
        "</tbody></table></div>\n<p class=\"legend\">Vectors {} at commit {}.</p></section>\n",
        escaped(digest.get(..12).unwrap_or(digest)),
        escaped(commit)
    );
}

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>NATSBridge conformance</title>
<style>
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #f6f7f9; --card: #fff; --line: #dfe3e8;
  --good: #1a7f4b; --good-bg: #e3f4ea; --part: #7a5d00; --part-bg: #fbf3d5; --bad: #b3261e; --bad-bg: #fbe4e2; --none-bg: #eceff2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --paper: #12161c; --card: #1a2029; --line: #2c3440;
  --good: #6fd6a0; --good-bg: #163525; --part: #e5c558; --part-bg: #383014; --bad: #ff9b93; --bad-bg: #431f1d; --none-bg: #222933; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
header { padding: 2rem clamp(1rem, 4vw, 3rem) 1.5rem; border-bottom: 4px solid; background: var(--card); }
header.good { border-color: var(--good); } header.part { border-color: var(--part); } header.bad { border-color: var(--bad); }
h1 { margin: 0; font-size: 1.1rem; font-weight: 600; color: var(--soft); letter-spacing: .02em; }
.verdict { margin: .1rem 0 1rem; font-size: 2.1rem; font-weight: 700; line-height: 1.2; }
header.good .verdict { color: var(--good); } header.part .verdict { color: var(--part); } header.bad .verdict { color: var(--bad); }
header dl { display: flex; flex-wrap: wrap; gap: 2.5rem; margin: 0; }
header dt { color: var(--soft); font-size: .85rem; } header dd { margin: 0; font-size: 1.4rem; font-weight: 600; font-variant-numeric: tabular-nums; }
main { padding: 0 clamp(1rem, 4vw, 3rem) 3rem; max-width: 90rem; }
h2 { margin: 2.2rem 0 .8rem; font-size: 1.2rem; }
.banner { margin: 1.2rem 0 0; padding: .7rem 1rem; border-radius: 8px; border-left: 4px solid var(--part); background: var(--part-bg); color: var(--part); }
.scroll { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 3px; }
.matrix th, .matrix td { padding: .45rem .8rem; border-radius: 6px; text-align: center; white-space: nowrap; font-variant-numeric: tabular-nums; }
.matrix thead th { font-weight: 600; vertical-align: bottom; } .matrix th[scope=row] { text-align: left; font-weight: 600; }
.matrix thead small { white-space: normal; max-width: 9rem; margin: 0 auto; } .matrix td { min-width: 6.5rem; font-weight: 600; } .matrix tr.sum td, .matrix tr.sum th { border-top: 2px solid var(--line); }
small { display: block; font-weight: 400; font-size: .78rem; color: var(--soft); }
td.good, .chip.good { background: var(--good-bg); color: var(--good); } td.part, .chip.part { background: var(--part-bg); color: var(--part); }
td.bad, .chip.bad { background: var(--bad-bg); color: var(--bad); } td.none, .chip.none { background: var(--none-bg); color: var(--soft); font-weight: 400; }
.legend { color: var(--soft); font-size: .85rem; } .chip { padding: .1rem .6rem; border-radius: 99px; margin-right: .3rem; }
.case { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--bad); border-radius: 8px; padding: .8rem 1.1rem; margin: 0 0 .8rem; }
.case h3 { margin: 0; font-size: 1rem; display: flex; flex-wrap: wrap; gap: .6rem; align-items: baseline; } .case h3 small { display: inline; }
.case p { margin: .2rem 0 .5rem; } .port { color: var(--soft); font-weight: 600; } .tag { background: var(--bad-bg); color: var(--bad); border-radius: 99px; padding: 0 .6rem; font-size: .8rem; }
.case dl { display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); gap: .25rem .8rem; margin: 0; } .case dt { color: var(--soft); font-size: .85rem; }
.case dd { margin: 0; } pre, code { font: 13px/1.45 ui-monospace, "SF Mono", "DejaVu Sans Mono", "Liberation Mono", monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 16rem; overflow-y: auto; }
.list { width: 100%; border-spacing: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.list th, .list td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid var(--line); vertical-align: top; } .runs td:nth-child(-n+4) { white-space: nowrap; } .list tr:last-child td { border-bottom: 0; }
.list th { font-size: .85rem; color: var(--soft); } input { font: inherit; padding: .25rem .6rem; border: 1px solid var(--line); border-radius: 6px; background: var(--card); color: inherit; min-width: 18rem; }
</style>
<script>
addEventListener("DOMContentLoaded", () => document.getElementById("find")?.addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const article of document.querySelectorAll("article")) {
    const text = article.textContent.toLowerCase();
    article.hidden = !words.every(word => text.includes(word));
  }
}));
</script>
"#;
