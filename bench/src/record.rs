//! A record: rows that were measured, and on what. One row a line, so that a version control system shows what changed.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::machine::Machine;

/// What a row's value counts, for one operation. Less is better for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Metric {
    /// Executed instructions, exact.
    Instructions,
    /// Calls of the allocator for more memory, exact.
    Allocations,
    /// Bytes that were asked of the allocator, exact.
    AllocatedBytes,
    /// Nanoseconds, as noisy as the machine.
    Wall,
}

impl Metric {
    /// All, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::Instructions, Self::Allocations, Self::AllocatedBytes, Self::Wall];

    /// As records have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Allocations => "allocations",
            Self::AllocatedBytes => "allocated_bytes",
            Self::Wall => "wall_ns",
        }
    }

    /// The unit, for people.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Instructions => "instructions/op",
            Self::Allocations => "allocations/op",
            Self::AllocatedBytes => "bytes/op",
            Self::Wall => "ns/op",
        }
    }
}

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data, made by every way of measuring")]
pub struct Row {
    /// `SCENARIO/CONTESTANT`.
    pub name: String,
    /// What was measured.
    pub metric: Metric,
    /// For one operation.
    pub value: f64,
}

impl Row {
    pub(crate) fn to_json(&self) -> Value {
        json!({"name": self.name, "metric": self.metric.name(), "value": self.value})
    }

    fn from_json(row: &Value) -> Result<Self, String> {
        let metric = Metric::ALL.into_iter().find(|metric| row["metric"] == metric.name());
        match (row["name"].as_str(), metric, row["value"].as_f64()) {
            (Some(name), Some(metric), Some(value)) => Ok(Self { name: name.into(), metric, value }),
            _ => Err(format!("not a row: {row}")),
        }
    }

    pub(crate) fn from_text(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| error.to_string()).and_then(|row| Self::from_json(&row))
    }
}

/// Rows and the machine that they are from.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Record {
    /// What decides whether counts can be compared, and what describes the place.
    pub machine: Machine,
    /// In the order of the scenarios.
    pub rows: Vec<Row>,
}

impl Record {
    /// The record as text.
    pub fn to_text(&self) -> String {
        let mut out = format!("{{\"schema\":1,\n\"machine\":{},\n\"rows\":[", self.machine.to_json());
        for (at, row) in self.rows.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(out, "{comma}\n{}", row.to_json());
        }
        out.push_str("\n]}\n");
        out
    }

    /// Reads a record's text.
    ///
    /// # Errors
    /// It is not a record, or not of this version.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if value["schema"] != 1 {
            return Err("not a record of version 1".into());
        }
        let rows = value["rows"].as_array().ok_or("no rows")?;
        Ok(Self {
            machine: Machine::from_json(&value["machine"]),
            rows: rows.iter().map(Row::from_json).collect::<Result<_, _>>()?,
        })
    }

    /// Reads a record's file.
    ///
    /// # Errors
    /// The file cannot be read, or is no record.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::from_text(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}
