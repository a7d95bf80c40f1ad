//! The formats that benchmark trackers read.

use serde_json::{Map, Value, json};

use crate::record::Record;

/// github-action-benchmark's `customSmallerIsBetter`: a list of names, units and values.
pub fn github_action_benchmark(record: &Record) -> Value {
    record
        .rows
        .iter()
        .map(|row| {
            let name = format!("{} {}", row.name, row.metric.name());
            json!({"name": name, "unit": row.metric.unit(), "value": row.value})
        })
        .collect()
}

/// Bencher's metric format: an object of benchmarks, each an object of measures. Its own measure for time is `latency`.
pub fn bencher(record: &Record) -> Value {
    let mut benchmarks = Map::new();
    for row in &record.rows {
        let measure = match row.metric {
            crate::record::Metric::Wall => "latency",
            metric => metric.name(),
        };
        benchmarks.entry(row.name.clone()).or_insert_with(|| json!({}))[measure] =
            json!({"value": row.value});
    }
    Value::Object(benchmarks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::record::{Metric, Row};

    #[test]
    fn every_row_is_in_both_formats() {
        let row = |metric, value| Row { name: "encode/own".into(), metric, value };
        let rows = vec![row(Metric::Instructions, 7.0), row(Metric::Wall, 2.5)];
        let record = Record { machine: Machine::default(), rows };
        let expected = json!([
            {"name": "encode/own instructions", "unit": "instructions/op", "value": 7.0},
            {"name": "encode/own wall_ns", "unit": "ns/op", "value": 2.5},
        ]);
        assert_eq!(github_action_benchmark(&record), expected);
        let expected = json!({"encode/own": {"instructions": {"value": 7.0}, "latency": {"value": 2.5}}});
        assert_eq!(bencher(&record), expected);
    }
}
