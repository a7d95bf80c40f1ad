//! What changed between two records, and whether a gate lets it pass.
//!
//! | metric | fails |
//! |---|---|
//! | instructions | a row that grew by more than the threshold |
//! | allocations | a row that allocated nothing and now does |
//! | allocated bytes, wall time | never: shown beside |
//!
//! It also fails where nothing was compared. Rows that vanished or appeared are named; they do not fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::record::{Metric, Record};

/// By how many percent a row's instructions may grow.
pub const THRESHOLD: f64 = 2.0;
/// From how many percent on a change is worth a line.
const NOTABLE: f64 = 0.1;
/// The same for times, which are never the same twice.
const NOTABLE_WALL: f64 = 10.0;

/// The outcome of a comparison.
#[derive(Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// Tables for people, one for each metric.
    pub text: String,
    /// Why the gate fails; empty if it passes.
    pub failures: Vec<String>,
}

/// Compares `new` with `base`.
pub fn compare(base: &Record, new: &Record, threshold: f64) -> Comparison {
    let (mut text, mut failures) = (String::new(), Vec::new());
    for metric in Metric::ALL {
        let [old, now] = [base, new].map(|record| {
            let rows = record.rows.iter().filter(|row| row.metric == metric);
            rows.map(|row| (row.name.as_str(), row.value)).collect::<BTreeMap<_, _>>()
        });
        let both: Vec<_> =
            now.iter().filter_map(|(name, now)| Some((*name, *old.get(name)?, *now))).collect();
        let gates = matches!(metric, Metric::Instructions | Metric::Allocations);
        if gates && both.is_empty() {
            failures.push(format!("no row of {} was compared", metric.unit()));
        }
        if old.is_empty() && now.is_empty() {
            continue;
        }
        let note = if gates { "" } else { " (not gating)" };
        let _ = writeln!(text, "\n{}{note}: {} rows compared", metric.unit(), both.len());

        let notable = if metric == Metric::Wall { NOTABLE_WALL } else { NOTABLE };
        let mut changed: Vec<_> = both.iter().filter(|row| change(row).abs() >= notable).collect();
        changed.sort_by(|a, b| change(b).total_cmp(&change(a)));
        for row in &changed {
            let (name, old, now) = row;
            let change = change(row);
            let failed = match metric {
                Metric::Instructions => *now > old * (100.0 + threshold) / 100.0,
                Metric::Allocations => *old == 0.0 && *now > 0.0,
                _ => false,
            };
            let word = match (failed, *now > *old) {
                (true, _) => "FAILED",
                (false, true) => "worse",
                (false, false) => "better",
            };
            let _ = writeln!(text, "  {word:<6} {change:>+9.2} %  {old:>14.1} -> {now:<14.1}  {name}");
            if failed {
                failures.push(format!("{name}: {old} -> {now} {} ({change:+.2} %)", metric.unit()));
            }
        }
        let _ = writeln!(text, "  {} changed by less than {notable} %", both.len() - changed.len());
        for name in old.keys().filter(|name| !now.contains_key(*name)) {
            let _ = writeln!(text, "  VANISHED  {name}");
        }
        for name in now.keys().filter(|name| !old.contains_key(*name)) {
            let _ = writeln!(text, "  appeared  {name}: {}", now[name]);
        }
    }
    Comparison { text, failures }
}

/// In percent; what grew from nothing grew without bound.
fn change((_, old, now): &(&str, f64, f64)) -> f64 {
    if old == now { 0.0 } else { (now - old) / old * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::record::Row;

    fn record(rows: &[(&str, Metric, f64)]) -> Record {
        let row = |(name, metric, value): &(&str, Metric, f64)| Row {
            name: (*name).into(),
            metric: *metric,
            value: *value,
        };
        Record { machine: Machine::default(), rows: rows.iter().map(row).collect() }
    }

    fn base() -> Record {
        record(&[
            ("encode/own", Metric::Instructions, 1000.0),
            ("decode/own", Metric::Instructions, 5000.0),
            ("encode/own", Metric::Allocations, 0.0),
            ("decode/own", Metric::Allocations, 4.0),
            ("encode/own", Metric::AllocatedBytes, 0.0),
            ("encode/own", Metric::Wall, 100.0),
        ])
    }

    fn failures(edit: impl FnOnce(&mut Vec<Row>)) -> Vec<String> {
        let mut new = base();
        edit(&mut new.rows);
        compare(&base(), &new, THRESHOLD).failures
    }

    #[test]
    fn an_unchanged_record_passes() {
        assert_eq!(failures(|_| ()), [""; 0]);
    }

    #[test]
    fn more_instructions_than_the_threshold_fail_and_name_the_row() {
        assert_eq!(failures(|rows| rows[0].value = 1020.0), [""; 0]);
        let failed = failures(|rows| rows[0].value = 1020.1);
        assert_eq!(failed.len(), 1);
        assert!(failed[0].starts_with("encode/own: 1000 -> 1020.1"), "{failed:?}");
    }

    #[test]
    fn an_allocation_fails_where_there_was_none_and_only_there() {
        assert_eq!(failures(|rows| rows[2].value = 1.0).len(), 1);
        assert_eq!(failures(|rows| rows[2].value = 0.0625).len(), 1);
        assert_eq!(failures(|rows| rows[3].value = 5.0), [""; 0]);
    }

    #[test]
    fn time_and_bytes_never_fail_and_improvements_pass() {
        assert_eq!(failures(|rows| rows[5].value = 900.0), [""; 0]);
        assert_eq!(failures(|rows| rows[4].value = 900.0), [""; 0]);
        assert_eq!(failures(|rows| rows[0].value = 10.0), [""; 0]);
    }

    #[test]
    fn vanished_and_appeared_rows_are_named() {
        let mut new = base();
        new.rows[1].name = "decode/other".into();
        let comparison = compare(&base(), &new, THRESHOLD);
        assert!(comparison.text.contains("VANISHED  decode/own"), "{}", comparison.text);
        assert!(comparison.text.contains("appeared  decode/other: 5000"), "{}", comparison.text);
        assert_eq!(comparison.failures, [""; 0]);
    }

    #[test]
    fn nothing_compared_fails() {
        assert_eq!(failures(Vec::clear).len(), 2);
        assert_eq!(failures(|rows| rows.retain(|row| row.metric != Metric::Allocations)).len(), 1);
        assert_eq!(failures(|rows| rows.iter_mut().for_each(|row| row.name.push('x'))).len(), 2);
    }

    #[test]
    fn a_record_survives_its_text() {
        let record = base();
        let again = Record::from_text(&record.to_text()).unwrap();
        assert_eq!(again.rows, record.rows);
        assert!(Record::from_text("{}").is_err());
    }
}
