//! What is in a payload, checked by its type, for people and for JSON.

use std::io;

use arrow_array::RecordBatch;
use arrow_json::writer::{LineDelimited, WriterBuilder};
use natsbridge::payload::table::Table;
use natsbridge::{Limits, PayloadData, PayloadType};
use serde_json::{Map, Value};

use crate::grid::grid;
use crate::output::visible;

/// Text, dictionaries and tables up to this many raw bytes are shown whole in JSON output.
const SMALL: usize = 64 * 1024;
/// A table of more rows is not small, whatever its bytes.
const SMALL_ROWS: u64 = 1000;
/// As many characters of a text, or of a dictionary, are shown to a person.
const SHOWN_CHARS: usize = 1000;
const SHOWN_LINES: usize = 20;
const SHOWN_ROWS: usize = 5;

/// A payload's value.
pub(crate) enum Preview {
    /// A text: its beginning, and all of it if it is small.
    Text { text: String, whole: bool },
    /// A dictionary or JSON rows; `None` if it is not small.
    Json { start: String, value: Option<Value> },
    /// A table: its columns, and rows.
    Table { columns: Vec<(String, String)>, row_count: u64, rows: Option<Vec<Value>>, whole: bool },
    /// Nothing to show but bytes.
    Bytes,
}

/// Reads the value, and by that checks it.
///
/// # Errors
/// Those of the type: invalid text, JSON or Arrow data.
pub(crate) fn preview(data: &PayloadData) -> natsbridge::Result<Preview> {
    let small = data.bytes().len() <= SMALL;
    match data.payload_type() {
        PayloadType::Text => {
            let text = data.text()?;
            let shown = if small { text } else { start(text) };
            Ok(Preview::Text { text: shown.to_owned(), whole: small })
        }
        PayloadType::Dictionary => json(data, small),
        PayloadType::JsonTable | PayloadType::Table if data.is_json_rows() => json(data, small),
        PayloadType::JsonTable => json(data, small),
        PayloadType::Table => data.table(&Limits::default()).map(|table| of_table(&table, small)),
        _ => Ok(Preview::Bytes),
    }
}

fn json(data: &PayloadData, small: bool) -> natsbridge::Result<Preview> {
    let text = data.json_text()?;
    let value = if small { Some(data.json_value()?) } else { None };
    Ok(Preview::Json { start: start(text).to_owned(), value })
}

fn of_table(table: &Table, small: bool) -> Preview {
    let field = |field: &arrow_schema::FieldRef| (field.name().clone(), field.data_type().to_string());
    let columns = table.schema().fields().iter().map(field).collect();
    let row_count = table.row_count();
    let whole = small && row_count <= SMALL_ROWS;
    let count = if whole { usize::MAX } else { SHOWN_ROWS };
    Preview::Table { columns, row_count, rows: rows(table.batches(), count), whole }
}

/// The first rows as JSON objects; `None` for types that have no JSON form, and for rows of unreasonable size.
fn rows(batches: &[RecordBatch], count: usize) -> Option<Vec<Value>> {
    let mut rows = Vec::new();
    let mut len = 0;
    // One row at a time: a small table can hold one long value that every row refers to.
    let each = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|at| batch.slice(at, 1)));
    for row in each.take(count) {
        let mut out = Vec::new();
        let mut writer = WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, LineDelimited>(&mut out as &mut dyn io::Write);
        writer.write(&row).ok()?;
        writer.finish().ok()?;
        drop(writer);
        len += out.len();
        if len > 16 * SMALL {
            return None;
        }
        rows.push(serde_json::from_slice(&out).ok()?);
    }
    Some(rows)
}

impl Preview {
    /// Lines for a person, control characters made visible.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Text { text, whole } => {
                let start = start(text);
                clipped(start, start.len() < text.len() || !whole)
            }
            Self::Json { start: text, value } => match value {
                Some(Value::Array(rows)) if !rows.is_empty() && rows.iter().all(Value::is_object) => {
                    let mut names: Vec<String> = Vec::new();
                    for name in rows.iter().take(SHOWN_ROWS).filter_map(Value::as_object).flat_map(Map::keys)
                    {
                        if !names.contains(name) {
                            names.push(name.clone());
                        }
                    }
                    grid(&names, &rows[..rows.len().min(SHOWN_ROWS)], rows.len() as u64)
                }
                Some(value) => {
                    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
                    let start = start(&pretty);
                    clipped(start, start.len() < pretty.len())
                }
                None => clipped(text, true),
            },
            Self::Table { columns, row_count, rows, .. } => {
                let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
                match rows {
                    Some(rows) => grid(&names, &rows[..rows.len().min(SHOWN_ROWS)], *row_count),
                    None => vec![format!("{row_count} rows of {}", visible(&names.join(", ")))],
                }
            }
            Self::Bytes => Vec::new(),
        }
    }
}

/// As much as a person wants to see.
fn start(text: &str) -> &str {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

fn clipped(text: &str, more: bool) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().take(SHOWN_LINES).map(visible).collect();
    if more || text.lines().nth(SHOWN_LINES).is_some() {
        lines.push("…".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use arrow_array::record_batch;
    use natsbridge::Payload;

    use super::*;

    fn data(payload_type: PayloadType, bytes: &[u8]) -> PayloadData {
        PayloadData::new(payload_type, bytes.to_vec(), None, 0)
    }

    fn lines(payload_type: PayloadType, bytes: &[u8]) -> Vec<String> {
        preview(&data(payload_type, bytes)).unwrap().lines()
    }

    #[test]
    fn text_is_shown_with_its_lines_and_without_its_control_characters() {
        assert_eq!(lines(PayloadType::Text, b"a\nb\x1b[31m"), ["a", "b\\u{1b}[31m"]);
        let shown = lines(PayloadType::Text, "ä".repeat(5000).as_bytes());
        assert_eq!((shown[0].chars().count(), shown[1].as_str()), (1000, "…"));
        let shown = lines(PayloadType::Text, "x\n".repeat(100_000).as_bytes());
        assert_eq!((shown.len(), shown[20].as_str()), (21, "…"));
        assert!(preview(&data(PayloadType::Text, b"\xff")).is_err());
    }

    #[test]
    fn dictionaries_are_pretty_and_rows_a_grid() {
        assert_eq!(lines(PayloadType::Dictionary, b"{\"a\":[1]}"), ["{", "  \"a\": [", "    1", "  ]", "}"]);
        let shown = lines(PayloadType::JsonTable, b"[{\"b\":1,\"a\":\"x\"},{\"a\":null}]");
        assert_eq!(shown, ["a  b", "x  1", "-  -"]);
        assert!(preview(&data(PayloadType::Dictionary, b"{")).is_err());
        let long = format!("[{}1]", "1,".repeat(100_000));
        assert_eq!(lines(PayloadType::Dictionary, long.as_bytes()).last().unwrap(), "…");
    }

    #[test]
    fn a_table_shows_its_first_rows() {
        let batch = record_batch!(
            ("id", Int32, [1, 2, 3, 4, 5, 6, 7]),
            ("name", Utf8, [Some("a"), None, Some("c"), None, None, None, None])
        )
        .unwrap();
        let payload = Payload::table("t", &[batch]).unwrap();
        let shown = lines(PayloadType::Table, &payload.chunks().concat());
        assert_eq!(shown[..3], ["id  name", "1   a", "2   -"]);
        assert_eq!(shown.last().unwrap(), "… 7 rows");
        assert!(preview(&data(PayloadType::Table, b"nothing like Arrow")).is_err());
    }

    #[test]
    fn files_have_no_preview() {
        assert!(lines(PayloadType::Image, b"\x89PNG").is_empty());
        assert!(lines(PayloadType::Other, b"x").is_empty());
    }
}
