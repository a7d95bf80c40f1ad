//! The report: everything measured once into one JSON file, and a page made of that file alone.

mod chart;
mod page;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::measure::wall::{self, Effort};
use crate::rival::port::{Language, Port, throughput};
use crate::{engine, input, ratios, scenarios, sibling};

/// The scenarios with a chart: throughput against size.
const CHARTED: [&str; 4] =
    ["envelope/encode/binary/", "envelope/decode/binary/", "base64/encode/random/", "base64/decode/random/"];

/// The scenarios that are shown with both allocators.
const ALLOCATORS: [&str; 6] = [
    "envelope/encode/binary/64B",
    "envelope/encode/binary/64KiB",
    "envelope/encode/binary/1MiB",
    "envelope/decode/binary/64B",
    "envelope/decode/binary/64KiB",
    "envelope/decode/binary/1MiB",
];

/// Measures everything.
///
/// # Errors
/// A contestant gives a wrong answer. What is not on this machine is left out by name.
pub fn measure(allocator: &str, effort: Effort) -> Result<Value, String> {
    let say = |what: &str| eprintln!("report: {what}");
    say("targets");
    let ratios = ratios::measure(&[], effort)?;
    say("times of all scenarios");
    let mut times = Vec::new();
    for scenario in scenarios::all() {
        for row in wall::measure_apart(&scenario.name, &[], effort)? {
            times.push(json!({
                "scenario": scenario.name, "contestant": row.contestant, "bytes": scenario.bytes, "ns": tenth(row.median()),
            }));
        }
    }
    say("Node and Python");
    for language in [Language::Node, Language::Python] {
        let Ok(mut port) = Port::start(language) else { continue };
        for operation in ["encode", "decode"] {
            for size in input::SIZES {
                let ns = throughput(&mut port, size, operation)?;
                let name = format!("envelope/{operation}/binary/{}", size.0);
                times.push(json!({
                    "scenario": name, "contestant": language.name(), "bytes": size.1, "ns": tenth(ns),
                }));
            }
        }
    }
    say("the other allocator");
    let mut allocators = Vec::new();
    for name in ALLOCATORS {
        let there = sibling::run(sibling::MIMALLOC, &["wall", name, "--json"]);
        let here = times.iter().filter(|row| row["scenario"] == name);
        for row in here {
            let contestant = row["contestant"].as_str().unwrap_or_default();
            if !matches!(contestant, "natsbridge" | "serde_json+base64") {
                continue;
            }
            let other = there.as_ref().ok().and_then(|lines| {
                let rows = lines.lines().filter_map(|line| crate::record::Row::from_text(line).ok());
                rows.into_iter().find(|row| row.name == format!("{name}/{contestant}")).map(|row| row.value)
            });
            allocators.push(json!({
                "scenario": name, "contestant": contestant, "system_ns": row["ns"], "mimalloc_ns": other,
            }));
        }
    }
    say("allocations");
    let allocations: Vec<Value> = sibling::run(sibling::COUNTED, &["alloc", "--json", "--gate"])
        .map(|lines| lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
        .unwrap_or_default();

    Ok(json!({
        "schema": 1,
        "commit": output("git", &["describe", "--always", "--dirty", "--abbrev=10"]),
        "date": output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        "machine": Machine::here(allocator).to_json(),
        "tier": engine::tier(),
        "clock": wall::CLOCK,
        "effort": {"rounds": effort.rounds, "turn_us": effort.turn.as_micros() as u64},
        "ratios": ratios.iter().map(ratios::Ratio::to_json_with_clock).collect::<Vec<_>>(),
        "times": times,
        "allocators": allocators,
        "allocations": allocations,
        "nats": nats(effort),
        "latency": latency(effort),
        "transfers": transfers(effort),
    }))
}

#[cfg(feature = "nats")]
fn nats(effort: Effort) -> Value {
    eprintln!("report: loops through NATS");
    match crate::nats::loops((effort.rounds / 8).max(2)) {
        Ok(rows) => rows
            .iter()
            .map(|row| json!({"message_len": row.message_len, "contestant": row.contestant, "cpu_us": row.cpu_us, "per_second": row.rate}))
            .collect(),
        Err(why) => json!({"absent": why.to_string()}),
    }
}

#[cfg(feature = "nats")]
fn latency(effort: Effort) -> Value {
    eprintln!("report: latency");
    let segment = if effort.rounds < Effort::FULL.rounds { 300 } else { 2500 };
    match crate::nats::latency::measure(std::time::Duration::from_millis(segment)) {
        Ok(rows) => rows
            .iter()
            .map(|row| json!({"size": row.size, "contestant": row.contestant, "rate": row.rate, "count": row.count, "micros": row.micros}))
            .collect(),
        Err(why) => json!({"absent": why.to_string()}),
    }
}

#[cfg(feature = "links")]
fn transfers(effort: Effort) -> Value {
    eprintln!("report: transfers");
    let place = match crate::links::Place::new(crate::links::FILE_LEN) {
        Ok(place) => place,
        Err(why) => return json!({"absent": why.to_string()}),
    };
    let megabytes = crate::links::FILE_LEN as f64 / 1e6;
    let mut rows = Vec::new();
    for direction in [crate::links::Direction::Upload, crate::links::Direction::Download] {
        for row in place.measure(direction, (effort.rounds / 8).max(2)) {
            rows.push(match row {
                Ok(times) => json!({
                    "direction": direction.name(), "contestant": times.contestant,
                    "mb_per_second": tenth(megabytes / (times.median() / 1e9)),
                }),
                Err(why) => json!({"direction": direction.name(), "absent": why}),
            });
        }
    }
    rows.into()
}

#[cfg(not(feature = "nats"))]
fn nats(_: Effort) -> Value {
    json!({"absent": "not in this build"})
}

#[cfg(not(feature = "nats"))]
fn latency(_: Effort) -> Value {
    json!({"absent": "not in this build"})
}

#[cfg(not(feature = "links"))]
fn transfers(_: Effort) -> Value {
    json!({"absent": "not in this build"})
}

/// Writes `index.html`, `report.json`, the chart for the README, and the targets and the method as Markdown to a folder.
///
/// # Errors
/// The folder cannot be written to.
pub fn write(report: &Value, folder: &Path) -> Result<(), String> {
    let put = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).map_err(|error| format!("{}: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    put("report.json", &lines(report))?;
    put("index.html", &page::html(report))?;
    put("envelope.svg", &page::readme_chart(report))?;
    put("method.md", &page::method_markdown(report))?;
    put("targets.md", &page::targets_markdown(report))
}

/// JSON with one row a line.
fn lines(report: &Value) -> String {
    let mut out = String::from("{");
    for (at, (name, value)) in report.as_object().into_iter().flatten().enumerate() {
        out += if at == 0 { "\n" } else { ",\n" };
        out += &format!("{}:", Value::from(name.as_str()));
        match value.as_array() {
            Some(rows) if !rows.is_empty() => {
                let rows: Vec<_> = rows.iter().map(Value::to_string).collect();
                out += &format!("[\n{}\n]", rows.join(",\n"));
            }
            _ => out += &value.to_string(),
        }
    }
    out + "\n}\n"
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn output(program: &str, args: &[&str]) -> String {
    let ran = Command::new(program).args(args).output();
    ran.map(|ran| String::from_utf8_lossy(&ran.stdout).trim().to_owned()).unwrap_or_default()
}
