//! What is in a payload, checked by its type, for people and for JSON.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Fields, Schema};
use natsbridge::payload::table::Table;
use natsbridge::{Limits, PayloadData, PayloadType};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::grid::grid;
use crate::output::visible;
use crate::row_json::row_json;

/// Text, dictionaries and tables up to this many raw bytes are shown whole in JSON output.
const SMALL: usize = 64 * 1024;
/// A table of more rows is not small, whatever its bytes.
const SMALL_ROWS: u64 = 1000;
/// A value is shown if it has at most this many bytes as JSON: a small table can hold one long value, or one long name,
/// that every row repeats. 1 MiB (chosen).
const SHOWN_BYTES: usize = 1024 * 1024;
/// What JSON output shows of the payloads of one message together, which it holds until the last one: 16 MiB as JSON
/// (chosen). `--help` says so.
pub(crate) const SHOWN_OF_MESSAGE: usize = 16 * 1024 * 1024;
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
    /// A table: its columns, and the cells of its rows in their order.
    Table { columns: Vec<(String, String)>, row_count: u64, rows: Option<Vec<Vec<Value>>>, whole: bool },
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

/// The cells of the first rows; `None` for types that have no JSON form, and for rows of unreasonable size.
fn rows(batches: &[RecordBatch], count: usize) -> Option<Vec<Vec<Value>>> {
    let mut rows = Vec::new();
    let mut left = SHOWN_BYTES;
    for batch in batches {
        if rows.len() >= count {
            break;
        }
        let batch = with_columns_numbered(batch)?;
        for at in 0..batch.num_rows().min(count - rows.len()) {
            let json = row_json(&batch, at, left)?;
            left -= json.len();
            let mut row: Map<String, Value> = serde_json::from_slice(&json).ok()?;
            let cells = 0..batch.num_columns();
            rows.push(cells.map(|cell| row.remove(&cell.to_string()).unwrap_or_default()).collect());
        }
    }
    Some(rows)
}

/// The batch with its columns named `0`, `1`, …: their own names may be the same. `None` where that is so inside a column.
fn with_columns_numbered(batch: &RecordBatch) -> Option<RecordBatch> {
    let schema = batch.schema();
    if schema.fields().iter().any(|field| has_repeated_names(field.data_type())) {
        return None;
    }
    let numbered = |(at, field): (usize, &arrow_schema::FieldRef)| {
        Arc::new(field.as_ref().clone().with_name(at.to_string()))
    };
    let fields: Fields = schema.fields().iter().enumerate().map(numbered).collect();
    // A batch without columns has rows all the same.
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), batch.columns().to_vec(), &options).ok()
}

fn has_repeated_names(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => {
            let mut names = HashSet::new();
            fields
                .iter()
                .any(|field| !names.insert(field.name().as_str()) || has_repeated_names(field.data_type()))
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_repeated_names(item.data_type()),
        DataType::Dictionary(_, value) => has_repeated_names(value),
        DataType::RunEndEncoded(_, value) => has_repeated_names(value.data_type()),
        _ => false,
    }
}

/// Whether the columns can be told apart in an object for each row.
fn are_distinct(columns: &[(String, String)]) -> bool {
    let mut names = HashSet::new();
    columns.iter().all(|(name, _)| names.insert(name))
}

/// What JSON output holds of a value, written already, and what is missing there.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) text: Option<Box<RawValue>>,
    pub(crate) value: Option<Box<RawValue>>,
    pub(crate) columns: Option<Box<RawValue>>,
    pub(crate) row_count: Option<u64>,
    /// Why there is neither text nor value.
    pub(crate) omitted: Option<&'static str>,
}

const TOO_LARGE: &str = "too large to show; use --output";
const USED_UP: &str = "the payloads before it show as much as one message may; use --output";
const BINARY: &str = "bytes, not text; use --output";
const NO_JSON_FORM: &str =
    "a column's type has no JSON form, or its values are too large to show; use --output";
const REPEATED_NAMES: &str = "two columns have the same name, which a JSON object cannot hold; use --output";

impl Preview {
    /// For JSON output, of which the message may hold so much more.
    pub(crate) fn into_json(self, left: &mut usize) -> Shown {
        let mut shown = Shown::default();
        match self {
            Self::Text { text, whole: true } => {
                shown.text = written(&text, left).map_err(|why| shown.omitted = Some(why)).ok();
            }
            Self::Json { value: Some(value), .. } => {
                shown.value = written(&value, left).map_err(|why| shown.omitted = Some(why)).ok();
            }
            Self::Text { .. } | Self::Json { .. } => shown.omitted = Some(TOO_LARGE),
            Self::Table { columns, row_count, rows, whole } => {
                shown.row_count = Some(row_count);
                shown.columns = written(&columns, left).map_err(|why| shown.omitted = Some(why)).ok();
                match rows {
                    _ if shown.omitted.is_some() => {}
                    _ if !whole => shown.omitted = Some(TOO_LARGE),
                    _ if !are_distinct(&columns) => shown.omitted = Some(REPEATED_NAMES),
                    None => shown.omitted = Some(NO_JSON_FORM),
                    Some(rows) => {
                        let rows = Rows { columns: &columns, rows: &rows };
                        shown.value = written(&rows, left).map_err(|why| shown.omitted = Some(why)).ok();
                    }
                }
            }
            Self::Bytes => shown.omitted = Some(BINARY),
        }
        shown
    }
}

/// A table's rows as objects, each with all the names: written one by one, never held.
struct Rows<'a> {
    columns: &'a [(String, String)],
    rows: &'a [Vec<Value>],
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().map(|cells| Row { columns: self.columns, cells }))
    }
}

struct Row<'a> {
    columns: &'a [(String, String)],
    cells: &'a [Value],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().map(|(name, _)| name).zip(self.cells))
    }
}

/// A value as JSON, taken from what is left; or why it is not shown.
fn written(value: &impl Serialize, left: &mut usize) -> Result<Box<RawValue>, &'static str> {
    let why = if *left < SHOWN_BYTES { USED_UP } else { TOO_LARGE };
    let mut out = Bounded { bytes: Vec::new(), most: SHOWN_BYTES.min(*left) };
    serde_json::to_writer(&mut out, value).map_err(|_| why)?;
    let json = String::from_utf8(out.bytes).ok().and_then(|json| RawValue::from_string(json).ok());
    let json = json.ok_or(why)?;
    *left -= json.get().len();
    Ok(json)
}

/// Refuses what goes beyond so many bytes, as it is written.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if piece.len() > self.most - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
                    let shown: Vec<Vec<_>> = rows
                        .iter()
                        .take(SHOWN_ROWS)
                        .map(|row| names.iter().map(|name| row.get(name)).collect())
                        .collect();
                    grid(&names, &shown, rows.len() as u64)
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
                    Some(rows) => {
                        let shown: Vec<Vec<_>> =
                            rows.iter().take(SHOWN_ROWS).map(|row| row.iter().map(Some).collect()).collect();
                        grid(&names, &shown, *row_count)
                    }
                    None => vec![format!("{row_count} rows of {}", visible(start(&names.join(", "))))],
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
    use arrow_array::{ArrayRef, Int32Array, NullArray, record_batch};
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
    fn columns_of_one_name_keep_their_own_values() {
        let batch =
            record_batch!(("a", Int32, [1, 2]), ("a", Utf8, ["x", "y"]), ("b", Int32, [3, 4])).unwrap();
        let payload = Payload::table("t", &[batch]).unwrap();
        let preview = preview(&data(PayloadType::Table, &payload.chunks().concat())).unwrap();
        assert_eq!(preview.lines(), ["a  a  b", "1  x  3", "2  y  4"]);
        let shown = preview.into_json(&mut { SHOWN_OF_MESSAGE });
        assert!(shown.value.is_none() && shown.omitted.is_some_and(|why| why.contains("same name")));
        assert_eq!(shown.columns.unwrap().get(), r#"[["a","Int32"],["a","Utf8"],["b","Int32"]]"#);
        assert_eq!(shown.row_count, Some(2));
    }

    fn table(columns: Vec<(String, ArrayRef)>) -> PayloadData {
        let payload = Payload::table("t", &[RecordBatch::try_from_iter(columns).unwrap()]).unwrap();
        data(PayloadType::Table, &payload.chunks().concat())
    }

    #[test]
    fn what_json_output_leaves_out_is_said() {
        let shown = |data: &PayloadData| preview(data).unwrap().into_json(&mut { SHOWN_OF_MESSAGE });
        let of = |payload_type, bytes: &[u8]| shown(&data(payload_type, bytes));
        let small = of(PayloadType::Text, b"a");
        assert_eq!((small.text.unwrap().get(), small.omitted), ("\"a\"", None));
        assert_eq!(of(PayloadType::Dictionary, b"null").omitted, None);
        let large = "x".repeat(SMALL + 1);
        assert_eq!(of(PayloadType::Text, large.as_bytes()).omitted, Some(TOO_LARGE));
        assert_eq!(of(PayloadType::Dictionary, format!("{large:?}").as_bytes()).omitted, Some(TOO_LARGE));
        assert_eq!(of(PayloadType::Image, b"x").omitted, Some(BINARY));
        let rows = |count| {
            let column = Int32Array::from((0..count).collect::<Vec<i32>>());
            shown(&table(vec![("a".to_owned(), Arc::new(column))]))
        };
        assert_eq!(rows(2).value.unwrap().get(), r#"[{"a":0},{"a":1}]"#);
        assert_eq!(rows(1001).omitted, Some(TOO_LARGE));
    }

    #[test]
    fn the_names_of_columns_count_in_every_row() {
        let shown = |rows| {
            let name = "n".repeat(10_000);
            let nulls: ArrayRef = Arc::new(NullArray::new(rows));
            preview(&table(vec![(name, nulls)])).unwrap().into_json(&mut { SHOWN_OF_MESSAGE })
        };
        // {"nnn…":null} and a comma, or brackets.
        let most = SHOWN_BYTES / 10_010;
        assert_eq!(shown(most).value.unwrap().get().len(), most * 10_010 + 1);
        let above = shown(most + 1);
        assert!(above.value.is_none() && above.columns.is_some());
        assert_eq!((above.omitted, above.row_count), (Some(TOO_LARGE), Some(most as u64 + 1)));
    }

    #[test]
    fn the_payloads_of_a_message_have_one_bound_together() {
        let mut left = 3 * SHOWN_BYTES;
        let name = "n".repeat(10_000);
        let large = table(vec![(name, Arc::new(NullArray::new(100)))]);
        let shown: Vec<_> = (0..5).map(|_| preview(&large).unwrap().into_json(&mut left)).collect();
        let held = |shown: &Shown| {
            [&shown.value, &shown.columns].into_iter().flatten().map(|json| json.get().len()).sum::<usize>()
        };
        assert!(shown[..3].iter().all(|shown| shown.omitted.is_none() && shown.value.is_some()));
        assert!(shown[3..].iter().all(|shown| shown.omitted == Some(USED_UP) && shown.value.is_none()));
        assert_eq!(shown.iter().map(held).sum::<usize>() + left, 3 * SHOWN_BYTES);
        // The rest is for what is small enough, to the byte.
        let text = data(PayloadType::Text, b"12345");
        let mut left = 7;
        assert_eq!(preview(&text).unwrap().into_json(&mut left).text.unwrap().get(), "\"12345\"");
        let mut left = 6;
        assert_eq!(preview(&text).unwrap().into_json(&mut left).omitted, Some(USED_UP));
        let wide = table(vec![("nnnnnn".to_owned(), Arc::new(NullArray::new(1)))]);
        let shown = preview(&wide).unwrap().into_json(&mut left);
        assert!(shown.columns.is_none() && shown.omitted == Some(USED_UP) && shown.row_count == Some(1));
    }

    #[test]
    fn files_have_no_preview() {
        assert!(lines(PayloadType::Image, b"\x89PNG").is_empty());
        assert!(lines(PayloadType::Other, b"x").is_empty());
    }
}
