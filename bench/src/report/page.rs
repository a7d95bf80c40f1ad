//! The page: tables and charts made of a report's JSON, in one file that needs nothing else.

use std::fmt::Write as _;

use serde_json::Value;

use super::CHARTED;
use super::chart::{Chart, Series, escape, number};

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 15px/1.55 system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; color: #1f2328;
  background: #fff; max-width: 1120px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #d0d7de; padding-bottom: .25rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { max-width: 60rem; } .muted { color: #57606a; } code { font-size: .92em; background: #f6f8fa; padding: .1em .3em; border-radius: 4px; }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .8rem .28rem 0; text-align: left; border-bottom: 1px solid #eaeef2; vertical-align: top; }
th { font-weight: 600; color: #57606a; border-bottom-color: #d0d7de; } td.n, th.n { text-align: right; }
.tag { display: inline-block; min-width: 4.2em; text-align: center; border-radius: 1em; padding: 0 .6em; font-weight: 600; font-size: .85em; }
.met { background: #dafbe1; color: #116329; } .missed { background: #ffebe9; color: #a40e26; } .absent { background: #eaeef2; color: #424a53; }
.charts { display: flex; flex-wrap: wrap; gap: 1.2rem; } .charts svg, svg { max-width: 100%; height: auto; }
.sum { display: flex; gap: 2rem; margin: 1rem 0; } .sum div { font-size: 1.9rem; font-weight: 650; line-height: 1.1; } .sum span { display: block; font-size: .85rem; font-weight: 400; color: #57606a; }
details summary { cursor: pointer; color: #0550d6; }
";

pub(super) fn html(report: &Value) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    let _ = write!(
        out,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>natsbridge benchmarks</title>\
         <style>{STYLE}</style></head><body><h1>natsbridge benchmarks</h1>\
         <p class=\"muted\">{} · commit <code>{}</code> · base64 tier <code>{}</code></p>",
        text(&report["date"]),
        text(&report["commit"]),
        text(&report["tier"]),
    );
    summary(report, &mut out);
    out += "<h2>Throughput against size</h2><p>Gigabytes of raw payload a second, one payload a message, both axes \
            logarithmic. <em>memcpy</em> copies the same payload into a warm buffer: the ceiling. The engine writes \
            into a buffer that is used again; the other crates return fresh memory, as their interfaces do. Node and \
            Python measure their own CPU time.</p><div class=\"charts\">";
    for (prefix, title) in CHARTED.into_iter().zip([
        "Message written: one payload, base64, JSON",
        "Message read: JSON, base64, one payload",
        "Base64 alone: encode",
        "Base64 alone: decode",
    ]) {
        out += &throughput(report, prefix, title, 1040.0, 420.0).svg();
    }
    out += "</div>";
    nats(report, &mut out);
    transfers(report, &mut out);
    targets(report, &mut out);
    allocators(report, &mut out);
    allocations(report, &mut out);
    other_times(report, &mut out);
    method(report, &mut out);
    out + "</body></html>\n"
}

/// The chart that the README shows.
pub(super) fn readme_chart(report: &Value) -> String {
    throughput(
        report,
        CHARTED[0],
        "A message with one payload, written: GB/s against the payload's size",
        860.0,
        380.0,
    )
    .svg()
}

fn rows<'a>(report: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    report[name].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn verdict(ratio: &Value) -> &'static str {
    match (ratio["value"].is_null(), ratio["met"] == true) {
        (true, _) => "absent",
        (false, true) => "met",
        (false, false) => "missed",
    }
}

fn summary(report: &Value, out: &mut String) {
    out.push_str("<div class=\"sum\">");
    for word in ["met", "missed", "absent"] {
        let count = rows(report, "ratios").filter(|ratio| verdict(ratio) == word).count();
        let _ = write!(out, "<div>{count}<span>targets {word}</span></div>");
    }
    out.push_str("</div>");
}

fn throughput<'a>(report: &Value, prefix: &str, title: &'a str, width: f64, height: f64) -> Chart<'a> {
    let mut series: Vec<Series> = Vec::new();
    let mut x_ticks: Vec<(f64, String)> = Vec::new();
    for row in rows(report, "times") {
        let Some(size) = row["scenario"].as_str().and_then(|name| name.strip_prefix(prefix)) else {
            continue;
        };
        let (Some(bytes), Some(ns)) = (row["bytes"].as_f64(), row["ns"].as_f64()) else { continue };
        let name = row["contestant"].as_str().unwrap_or_default();
        if !x_ticks.iter().any(|(x, _)| *x == bytes) {
            x_ticks.push((bytes, spaced(size)));
        }
        let point = (bytes, bytes / ns);
        match series.iter_mut().find(|one| one.name == name) {
            Some(one) => one.points.push(point),
            None => series.push(Series { name: name.into(), points: vec![point] }),
        }
    }
    x_ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
    for one in &mut series {
        one.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    Chart { title, y_label: "GB/s of raw payload", x_ticks, x_log: true, series, width, height }
}

/// `64KiB` as `64 KiB`, `1.9K` as `1.9 K`.
fn spaced(size: &str) -> String {
    let digits = size.len() - size.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    format!("{} {}", &size[..digits], &size[digits..])
}

fn nats(report: &Value, out: &mut String) {
    out.push_str("<h2>Through NATS</h2>");
    if let Some(why) = report["nats"]["absent"].as_str() {
        let _ = write!(out, "<p>Absent: {}</p>", escape(why));
        return;
    }
    out.push_str(
        "<p>A producer and a consumer with a connection each, in one process, through a nats-server on this machine. \
         <em>raw</em> is async-nats moving messages that are ready; the others also write each message, read it and \
         decode its payload. CPU is that of the process, both sides, kernel included; messages a second are wall clock.</p>\
         <table><tr><th class=\"n\">message bytes</th><th>contestant</th><th class=\"n\">CPU µs a message</th>\
         <th class=\"n\">against raw</th><th class=\"n\">messages a second</th><th class=\"n\">against raw</th></tr>",
    );
    let mut raw = (f64::NAN, f64::NAN);
    for row in rows(report, "nats") {
        let (cpu, rate) =
            (row["cpu_us"].as_f64().unwrap_or(f64::NAN), row["per_second"].as_f64().unwrap_or(f64::NAN));
        if row["contestant"] == "raw" {
            raw = (cpu, rate);
        }
        let (more, part) = if row["contestant"] == "raw" {
            ("–".into(), "–".into())
        } else {
            (format!("{:+.0} %", (cpu / raw.0 - 1.0) * 100.0), format!("{:.2}×", rate / raw.1))
        };
        let _ = write!(
            out,
            "<tr><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{more}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{part}</td></tr>",
            number(row["message_len"].as_f64().unwrap_or(0.0)),
            text(&row["contestant"]),
            number(cpu),
            number(rate),
        );
    }
    out.push_str("</table><h3>Request and reply</h3>");
    if let Some(why) = report["latency"]["absent"].as_str() {
        let _ = write!(out, "<p>Absent: {}</p>", escape(why));
        return;
    }
    out.push_str(
        "<p>Open loop: requests are due at fixed times and each latency counts from then, so a stall shows in every \
         request that waited behind it. The engine writes, reads and decodes in both directions; raw async-nats moves \
         messages that are ready.</p><div class=\"charts\">",
    );
    let percentiles = ["p50", "p90", "p99", "p99.9"];
    let mut sizes: Vec<&Value> = rows(report, "latency").map(|row| &row["size"]).collect();
    sizes.dedup();
    for size in sizes {
        let mut series = Vec::new();
        let mut rate = 0.0;
        for row in rows(report, "latency").filter(|row| row["size"] == *size) {
            rate = row["rate"].as_f64().unwrap_or(0.0);
            let micros = row["micros"].as_array().into_iter().flatten().filter_map(Value::as_f64);
            let name = if row["contestant"] == "raw" { "raw async-nats" } else { "natsbridge" };
            let points = micros.enumerate().map(|(at, micros)| (at as f64, micros)).collect();
            series.push(Series { name: name.into(), points });
        }
        let title = format!("{} at {rate} requests a second", spaced(size.as_str().unwrap_or_default()));
        let chart = Chart {
            title: &title,
            y_label: "microseconds until the answer",
            x_ticks: percentiles.iter().enumerate().map(|(at, name)| (at as f64, (*name).into())).collect(),
            x_log: false,
            series,
            width: 510.0,
            height: 300.0,
        };
        out.push_str(&chart.svg());
    }
    out.push_str("</div><table><tr><th>message</th><th>contestant</th><th class=\"n\">requests</th>");
    for name in percentiles {
        let _ = write!(out, "<th class=\"n\">{name} µs</th>");
    }
    out.push_str("</tr>");
    for row in rows(report, "latency") {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td>",
            text(&row["size"]),
            text(&row["contestant"]),
            number(row["count"].as_f64().unwrap_or(0.0))
        );
        for micros in row["micros"].as_array().into_iter().flatten() {
            let _ = write!(out, "<td class=\"n\">{}</td>", number(micros.as_f64().unwrap_or(f64::NAN)));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

fn transfers(report: &Value, out: &mut String) {
    out.push_str("<h2>A file of 64 MiB, up and down</h2>");
    if let Some(why) = report["transfers"]["absent"].as_str() {
        let _ = write!(out, "<p>Absent: {}</p>", escape(why));
        return;
    }
    out.push_str(
        "<p>To and from the embedded file server in another process, over the loopback, with the SHA-256 computed on the \
         way; through NATS' object store for comparison. Wall clock.</p><table><tr><th>direction</th><th>contestant</th>\
         <th class=\"n\">MB/s</th></tr>",
    );
    for row in rows(report, "transfers") {
        let _ = match row["absent"].as_str() {
            Some(why) => write!(
                out,
                "<tr><td>{}</td><td colspan=\"2\">absent: {}</td></tr>",
                text(&row["direction"]),
                escape(why)
            ),
            None => write!(
                out,
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td></tr>",
                text(&row["direction"]),
                text(&row["contestant"]),
                number(row["mb_per_second"].as_f64().unwrap_or(f64::NAN))
            ),
        };
    }
    out.push_str("</table>");
}

fn targets(report: &Value, out: &mut String) {
    out.push_str("<h2>Targets</h2>");
    let mut clock = "";
    for ratio in rows(report, "ratios") {
        let this = ratio["clock"].as_str().unwrap_or_default();
        if this != clock {
            if !clock.is_empty() {
                out.push_str("</table>");
            }
            clock = this;
            let _ = write!(
                out,
                "<h3>{}</h3><table><tr><th>target</th><th class=\"n\">measured</th><th class=\"n\">to reach</th><th></th></tr>",
                escape(clock)
            );
        }
        let word = verdict(ratio);
        let sign = if ratio["better"] == "lower" { "≤" } else { "≥" };
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{sign} {}</td>\
             <td><span class=\"tag {word}\">{word}</span> <span class=\"muted\">{}</span></td></tr>",
            text(&ratio["name"]),
            ratio["value"].as_f64().map_or_else(|| "–".into(), |value| measured(value, ratio)),
            ratio["target"],
            text(&ratio["absent"]),
        );
    }
    out.push_str("</table>");
}

/// Two decimals, and one more where they would hide on which side of the target it is.
fn measured(value: f64, ratio: &Value) -> String {
    let close = (value - ratio["target"].as_f64().unwrap_or(f64::NAN)).abs() < 0.01;
    if close { format!("{value:.3}") } else { format!("{value:.2}") }
}

/// What was measured, where and how, in Markdown.
pub(super) fn method_markdown(report: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let effort = &report["effort"];
    let mut out = format!(
        "Commit {}, {}.\n\nTimes are {}, medians of {} rounds of {} µs; contestants take turns inside each round; each \
         scenario is a process of its own. Ratios are medians of the rounds' ratios.\n\n| | |\n|---|---|\n",
        plain(&report["commit"]),
        plain(&report["date"]),
        plain(&report["clock"]),
        effort["rounds"],
        effort["turn_us"],
    );
    for group in ["place", "counts"] {
        for (name, value) in report["machine"][group].as_object().into_iter().flatten() {
            let _ = writeln!(out, "| {name} | {} |", plain(value));
        }
    }
    out
}

/// The targets as a table in Markdown.
pub(super) fn targets_markdown(report: &Value) -> String {
    let mut out = String::from("| target | measured | to reach | |\n|---|---|---|---|\n");
    for ratio in rows(report, "ratios") {
        let sign = if ratio["better"] == "lower" { "<=" } else { ">=" };
        let value = ratio["value"].as_f64().map_or_else(|| "-".into(), |value| measured(value, ratio));
        let name = ratio["name"].as_str().unwrap_or_default();
        let _ = writeln!(out, "| `{name}` | {value} | {sign} {} | {} |", ratio["target"], verdict(ratio));
    }
    out
}

fn allocators(report: &Value, out: &mut String) {
    out.push_str(
        "<h2>mimalloc against the system's allocator</h2><p>Nanoseconds of thread CPU time for one message, each \
         allocator in a program of its own.</p><table><tr><th>scenario</th><th>contestant</th>\
         <th class=\"n\">system</th><th class=\"n\">mimalloc</th></tr>",
    );
    for row in rows(report, "allocators") {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            text(&row["scenario"]),
            text(&row["contestant"]),
            number(row["system_ns"].as_f64().unwrap_or(f64::NAN)),
            row["mimalloc_ns"].as_f64().map_or_else(|| "absent".into(), number),
        );
    }
    out.push_str("</table>");
}

fn allocations(report: &Value, out: &mut String) {
    out.push_str(
        "<h2>Allocations</h2><p>For one message, counted exactly. Rows that the gate watches.</p><details><summary>All \
         rows</summary><table><tr><th>scenario and contestant</th><th class=\"n\">allocations</th></tr>",
    );
    for row in rows(report, "allocations").filter(|row| row["metric"] == "allocations") {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td class=\"n\">{}</td></tr>",
            text(&row["name"]),
            number(row["value"].as_f64().unwrap_or(f64::NAN))
        );
    }
    out.push_str("</table></details>");
}

fn other_times(report: &Value, out: &mut String) {
    out.push_str(
        "<h2>All times</h2><p>Thread CPU time for one operation.</p><details><summary>All rows</summary><table><tr>\
         <th>scenario</th><th>contestant</th><th class=\"n\">ns</th><th class=\"n\">GB/s</th></tr>",
    );
    for row in rows(report, "times") {
        let (bytes, ns) = (row["bytes"].as_f64().unwrap_or(0.0), row["ns"].as_f64().unwrap_or(f64::NAN));
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            text(&row["scenario"]),
            text(&row["contestant"]),
            number(ns),
            if bytes > 0.0 { number(bytes / ns) } else { String::new() },
        );
    }
    out.push_str("</table></details>");
}

fn method(report: &Value, out: &mut String) {
    out.push_str(
        "<h2>Machine and method</h2><p>Every contestant's answer is checked before anything is timed. Contestants take \
         turns inside each round, so that what disturbs one disturbs all; a time is the median of the rounds, a ratio \
         the median of the rounds' ratios. Instructions are never shown beside times.</p><table>",
    );
    let effort = &report["effort"];
    let _ = write!(
        out,
        "<tr><td>clock</td><td>{}</td></tr><tr><td>rounds</td><td>{} of {} µs for each contestant</td></tr>",
        text(&report["clock"]),
        effort["rounds"],
        effort["turn_us"]
    );
    for group in ["place", "counts"] {
        for (name, value) in report["machine"][group].as_object().into_iter().flatten() {
            let _ = write!(out, "<tr><td>{}</td><td>{}</td></tr>", escape(name), text(value));
        }
    }
    out.push_str("</table>");
}
