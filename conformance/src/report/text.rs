//! For people at a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Report, fails, in_one_piece, outcome};
use crate::judge::Outcome;
use crate::vectors::AREAS;

/// Failures that are written out; the rest is counted.
const SHOWN: usize = 10;

/// A table of areas and outcomes, and the first failures with what was got, what was expected and how to run them again.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let header = &report.header;
    let word = |key: &str| header["testee"][key].as_str().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} {} ({}), profile {}",
        report.name(),
        word("version"),
        word("language"),
        header["profile"].as_str().unwrap_or_default()
    );
    table(report, &mut out);
    let whole = in_one_piece(report, None);
    if whole > 0 {
        let _ = writeln!(out, "  {whole} passed in one piece only: the testee has no streaming interface");
    }
    let failed: Vec<_> = report.lines.iter().filter(|line| fails(line)).collect();
    for line in failed.iter().take(SHOWN) {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let split = if text("split").is_empty() { String::new() } else { format!(", {}", text("split")) };
        let _ = writeln!(
            out,
            "\n{}: {} ({}, {}{split})",
            text("outcome").to_uppercase(),
            text("id"),
            text("level"),
            text("clause")
        );
        let _ = writeln!(out, "  {}", text("comment"));
        for (label, key) in [("asked", "asked"), ("got", "got"), ("expected", "expected"), ("note", "note")] {
            if !text(key).is_empty() {
                let _ = writeln!(out, "  {label:<9} {}", text(key).replace('\n', "\n            "));
            }
        }
        if !text("rerun").is_empty() {
            let _ = writeln!(out, "  again     {}", text("rerun"));
        }
    }
    if failed.len() > SHOWN {
        let more = failed.len() - SHOWN;
        let _ = writeln!(out, "\n... and {more} more failures; all of them are in what --report DIR writes");
    }
    for failure in report.failures() {
        let _ = writeln!(out, "\nFAIL: {failure}");
    }
    out
}

fn table(report: &Report, out: &mut String) {
    let mut rows: BTreeMap<usize, (&str, BTreeMap<Outcome, usize>)> = BTreeMap::new();
    for line in &report.lines {
        let area = line["area"].as_str().unwrap_or_default();
        let place = AREAS.iter().position(|known| *known == area).unwrap_or(AREAS.len());
        *rows.entry(place).or_insert((area, BTreeMap::new())).1.entry(outcome(line)).or_default() += 1;
    }
    let shown: Vec<Outcome> = Outcome::ALL
        .into_iter()
        .filter(|outcome| {
            *outcome == Outcome::Pass || *outcome == Outcome::Fail || report.count(None, *outcome) > 0
        })
        .collect();
    let _ = write!(out, "\n  {:<10}", "area");
    for outcome in &shown {
        let _ = write!(out, "{:>12}", outcome.as_str());
    }
    let _ = writeln!(out);
    for (area, counts) in rows.values() {
        let _ = write!(out, "  {area:<10}");
        for outcome in &shown {
            match counts.get(outcome) {
                Some(count) => write!(out, "{count:>12}"),
                None => write!(out, "{:>12}", "."),
            }
            .unwrap_or_default();
        }
        let _ = writeln!(out);
    }
    let _ = write!(out, "  {:<10}", "all");
    for outcome in &shown {
        let _ = write!(out, "{:>12}", report.count(None, *outcome));
    }
    let _ = writeln!(out);
}
