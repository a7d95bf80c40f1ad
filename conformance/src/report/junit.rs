//! JUnit XML, which continuous integration reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::{Report, fails, outcome};
use crate::judge::Outcome;

/// One suite an area, one case a case.
pub fn junit(report: &Report) -> String {
    let mut suites: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for line in &report.lines {
        suites.entry(line["area"].as_str().unwrap_or_default()).or_default().push(line);
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<testsuites name=\"{}\">", escaped(report.name()));
    for (area, lines) in suites {
        let failed = lines.iter().filter(|line| fails(line)).count();
        let skipped = lines.iter().filter(|line| is_skipped(line)).count();
        let seconds: f64 = lines.iter().filter_map(|line| line["ms"].as_f64()).sum::<f64>() / 1000.0;
        let _ = writeln!(
            out,
            "  <testsuite name=\"{area}\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">",
            lines.len()
        );
        lines.into_iter().for_each(|line| case(report.name(), line, &mut out));
        let _ = writeln!(out, "  </testsuite>");
    }
    let failures = report.failures();
    if !failures.is_empty() {
        let count = failures.len();
        let _ = writeln!(out, "  <testsuite name=\"run\" tests=\"{count}\" failures=\"{count}\">");
        for failure in failures {
            let message = escaped(&failure);
            let _ = writeln!(
                out,
                "    <testcase name=\"{message}\" classname=\"run\"><failure message=\"{message}\"/></testcase>"
            );
        }
        let _ = writeln!(out, "  </testsuite>");
    }
    out.push_str("</testsuites>\n");
    out
}

fn is_skipped(line: &Value) -> bool {
    !fails(line) && outcome(line) != Outcome::Pass
}

fn case(testee: &str, line: &Value, out: &mut String) {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let seconds = line["ms"].as_f64().unwrap_or(0.0) / 1000.0;
    let _ = write!(
        out,
        "    <testcase name=\"{}: {}\" classname=\"{}.{}\" time=\"{seconds:.3}\"",
        escaped(text("id")),
        escaped(text("comment")),
        escaped(testee),
        escaped(text("area"))
    );
    let _ = if fails(line) {
        let body = format!(
            "got: {}\nexpected: {}\n{}\nagain: {}",
            text("got"),
            text("expected"),
            text("note"),
            text("rerun")
        );
        writeln!(
            out,
            ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
            escaped(text("outcome")),
            escaped(&body)
        )
    } else if is_skipped(line) {
        let why = if text("note").is_empty() { text("outcome") } else { text("note") };
        writeln!(out, "><skipped message=\"{}\"/></testcase>", escaped(why))
    } else {
        writeln!(out, "/>")
    };
}

/// Text for XML, without the characters that XML has no way to write.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(char),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out
}
