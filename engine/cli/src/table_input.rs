//! Tables to send, from Arrow, CSV and JSON.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use natsbridge::payload::table;
use natsbridge::{Limits, Payload};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::exit::Failure;

/// Rows of one record batch.
const BATCH_ROWS: usize = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Arrow,
    Csv,
    Json,
}

/// Reads a table: by the file's extension, or without a file by its first bytes.
pub(crate) fn payload(name: &str, path: Option<&Path>, bytes: Bytes) -> Result<Payload, Failure> {
    let about = format!("payload {name:?}");
    let (schema, batches) =
        match format(path, &bytes).map_err(|what| Failure::Usage(format!("{about}: {what}")))? {
            Format::Arrow => arrow(&bytes).map_err(Failure::about(&about))?,
            Format::Csv => {
                csv(&bytes).map_err(|error| Failure::input(format!("{about}: cannot read CSV"), error))?
            }
            Format::Json => json(&bytes)
                .map_err(|error| Failure::input(format!("{about}: cannot read JSON rows"), error))?,
        };
    Payload::table_with_schema(name, &schema, &batches).map_err(Failure::about(about))
}

fn format(path: Option<&Path>, bytes: &[u8]) -> Result<Format, String> {
    let extension = path.and_then(Path::extension).and_then(|extension| extension.to_str());
    if let Some(path) = path {
        return match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("arrow" | "arrows" | "ipc" | "feather") => Ok(Format::Arrow),
            Some("csv") => Ok(Format::Csv),
            Some("json" | "jsonl" | "ndjson") => Ok(Format::Json),
            _ => Err(format!(
                "a table is read from .arrow, .arrows, .ipc, .csv or .json, and {} is none of these",
                path.display()
            )),
        };
    }
    if bytes.starts_with(b"ARROW1") || bytes.starts_with(&[0xff; 4]) {
        return Ok(Format::Arrow);
    }
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[' | b'{') => Ok(Format::Json),
        _ => {
            Err("a table without a file name must be Arrow IPC or JSON rows; put CSV into a .csv file"
                .to_owned())
        }
    }
}

/// The stream or the file format.
fn arrow(bytes: &Bytes) -> natsbridge::Result<(SchemaRef, Vec<RecordBatch>)> {
    // It is the user's own file: as large as it is.
    let table = table::decode(bytes, &Limits::default().table_len(u64::MAX)).map_err(|error| {
        natsbridge::Error::new(natsbridge::ErrorKind::InvalidInput, "not Arrow IPC").with_source(error)
    })?;
    Ok((Arc::clone(table.schema()), table.into_batches()))
}

/// The first line holds the names; the types are those that hold all rows as they are.
fn csv(bytes: &Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    // The byte order mark that spreadsheets write is no part of the first name.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let format = arrow_csv::reader::Format::default().with_header(true);
    let (schema, _) = format.infer_schema(Cursor::new(bytes), None)?;
    if schema.fields().is_empty() {
        return Err(ArrowError::CsvError("there is no header".to_owned()));
    }
    let mut names = HashSet::new();
    if let Some(field) = schema.fields().iter().find(|field| !names.insert(field.name().as_str())) {
        return Err(ArrowError::CsvError(format!("two columns have the name {:?}", field.name())));
    }
    let schema = Arc::new(without_changed_numbers(&schema, bytes)?);
    Ok((Arc::clone(&schema), csv_batches(&schema, bytes)?.collect::<Result<_, _>>()?))
}

fn csv_batches<'a>(
    schema: &SchemaRef,
    bytes: &'a [u8],
) -> Result<arrow_csv::Reader<Cursor<&'a [u8]>>, ArrowError> {
    arrow_csv::ReaderBuilder::new(Arc::clone(schema))
        .with_header(true)
        .with_batch_size(BATCH_ROWS)
        .build(Cursor::new(bytes))
}

/// The inferred types, except for columns of numbers that would not be what they were.
fn without_changed_numbers(inferred: &Schema, bytes: &[u8]) -> Result<Schema, ArrowError> {
    let texts: Vec<Field> =
        inferred.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true)).collect();
    let mut columns = vec![CsvNumbers::default(); texts.len()];
    for batch in csv_batches(&Arc::new(Schema::new(texts)), bytes)? {
        let batch = batch?;
        for (column, seen) in batch.columns().iter().zip(&mut columns) {
            if let Some(texts) = column.as_any().downcast_ref::<StringArray>() {
                texts.iter().flatten().for_each(|text| seen.add(text));
            }
        }
    }
    let fields = inferred.fields().iter().zip(columns).map(|(field, seen)| {
        let data_type = match field.data_type() {
            DataType::Int64 | DataType::Float64 if seen.changed => DataType::Utf8,
            // Whole numbers that are too large for Int64 have been taken for text.
            DataType::Utf8 if !seen.changed && seen.unsigned && seen.any => DataType::UInt64,
            DataType::Float64 if seen.rounded => DataType::Utf8,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// What the numbers of a CSV column allow.
#[derive(Clone)]
struct CsvNumbers {
    any: bool,
    /// All are whole numbers that fit 64 bits without a sign.
    unsigned: bool,
    /// One is spelled as no number is written back: it is a code, a telephone number, a postcode.
    changed: bool,
    /// One has more digits, or a larger exponent, than a float holds.
    rounded: bool,
}

impl Default for CsvNumbers {
    fn default() -> Self {
        Self { any: false, unsigned: true, changed: false, rounded: false }
    }
}

impl CsvNumbers {
    fn add(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.any = true;
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let mut bytes = digits.bytes();
        self.changed |= text.starts_with('+')
            || (bytes.next() == Some(b'0') && bytes.next().is_some_and(|byte| byte.is_ascii_digit()));
        self.unsigned &= text.parse::<u64>().is_ok();
        self.rounded |= is_rounded(text, digits);
    }
}

/// Whether a float changes the number: a whole one at all, another one beyond the 17 digits that a float has.
fn is_rounded(text: &str, digits: &str) -> bool {
    if let Ok(whole) = text.parse::<i128>() {
        return !is_exact(whole);
    }
    let Ok(float) = text.parse::<f64>() else { return false };
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let significant: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let too_large = float.is_infinite() && digits.starts_with(|char: char| char.is_ascii_digit());
    too_large || significant.trim_start_matches('0').trim_end_matches('0').len() > 17
}

/// Whether a float holds the number as it is.
fn is_exact(whole: i128) -> bool {
    whole.unsigned_abs() <= 1 << 53 || (whole.unsigned_abs() < 1 << 100 && whole as f64 as i128 == whole)
}

/// An array of objects, or one object after the other.
fn json(bytes: &Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let mut rows = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
        match value.map_err(invalid)? {
            Value::Array(more) => rows.extend(more),
            row => rows.push(row),
        }
    }
    if rows.is_empty() {
        return Err(ArrowError::JsonError("without rows there are no columns".to_owned()));
    }
    if let Some(at) = rows.iter().position(|row| !row.is_object()) {
        return Err(ArrowError::JsonError(format!("row {at} is no object")));
    }
    if has_huge_integer(bytes) {
        find_huge_integer(bytes)?;
    }
    let mut numbers = JsonNumbers::default();
    rows.iter().enumerate().for_each(|(at, row)| numbers.add(at, row));
    let inferred = arrow_json::reader::infer_json_schema_from_iterator(rows.iter().map(Ok))?;
    let schema = Arc::new(numbers.apply(&inferred)?);
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(&schema)).build_decoder()?;
    let mut batches = Vec::new();
    for rows in rows.chunks(BATCH_ROWS) {
        decoder.serialize(rows)?;
        batches.extend(decoder.flush()?);
    }
    Ok((schema, batches))
}

fn invalid(error: serde_json::Error) -> ArrowError {
    ArrowError::JsonError(error.to_string())
}

fn not_held(column: &str, row: usize, why: &str) -> ArrowError {
    ArrowError::JsonError(format!("column {column:?}, row {row}: {why}; write the column as text"))
}

/// The numbers in one place of all rows, and in the places below.
#[derive(Default)]
struct JsonNumbers {
    has_float: bool,
    has_negative: bool,
    /// The first row with a whole number above Int64.
    above_signed: Option<usize>,
    /// The first row with a whole number that a float changes.
    inexact: Option<usize>,
    fields: HashMap<String, Self>,
}

impl JsonNumbers {
    fn add(&mut self, row: usize, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match self.fields.get_mut(name) {
                        Some(field) => field.add(row, value),
                        None => self.fields.entry(name.clone()).or_default().add(row, value),
                    }
                }
            }
            // The items of a list have one type.
            Value::Array(items) => items.iter().for_each(|item| self.add(row, item)),
            Value::Number(number) => match number.as_i128() {
                Some(whole) => {
                    self.has_negative |= whole < 0;
                    if whole > i128::from(i64::MAX) {
                        self.above_signed.get_or_insert(row);
                    }
                    if !is_exact(whole) {
                        self.inexact.get_or_insert(row);
                    }
                }
                None => self.has_float = true,
            },
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    /// The types, with UInt64 for columns that need it.
    fn apply(&self, inferred: &Schema) -> Result<Schema, ArrowError> {
        let field = |field: &arrow_schema::FieldRef| {
            let Some(seen) = self.fields.get(field.name()) else { return Ok(Arc::clone(field)) };
            let is_number = matches!(field.data_type(), DataType::Int64 | DataType::Float64);
            if is_number && seen.above_signed.is_some() && !seen.has_float && !seen.has_negative {
                return Ok(Arc::new(Field::new(field.name(), DataType::UInt64, true)));
            }
            seen.check(field.name()).map(|()| Arc::clone(field))
        };
        Ok(Schema::new(inferred.fields().iter().map(field).collect::<Result<Vec<_>, _>>()?))
    }

    fn check(&self, column: &str) -> Result<(), ArrowError> {
        if let Some(row) = self.above_signed {
            return Err(not_held(column, row, "a whole number that Int64 does not hold"));
        }
        if let (true, Some(row)) = (self.has_float, self.inexact) {
            return Err(not_held(column, row, "a whole number that the column's Float64 would round"));
        }
        self.fields.values().try_for_each(|field| field.check(column))
    }
}

/// Whether there is a whole number in JSON text that no 64 bits hold, and that has been read as a float therefore.
fn has_huge_integer(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                while let Some(&byte) = json.get(at) {
                    at += if byte == b'\\' { 2 } else { 1 };
                    if byte == b'"' {
                        break;
                    }
                }
            }
            b'-' | b'0'..=b'9' => {
                let is_number = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                while json.get(at).is_some_and(is_number) {
                    at += 1;
                }
                let number = &json[start..at];
                // Shorter ones always fit.
                if number.len() > 18 && !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
                    let text = String::from_utf8_lossy(number);
                    if text.parse::<i64>().is_err() && text.parse::<u64>().is_err() {
                        return true;
                    }
                }
            }
            _ => {}
        }
    }
    false
}

/// Says in which row and column it is.
fn find_huge_integer(json: &[u8]) -> Result<(), ArrowError> {
    type Row<'a> = BTreeMap<String, &'a RawValue>;
    let mut at = 0;
    for value in serde_json::Deserializer::from_slice(json).into_iter::<&RawValue>() {
        let value = value.map_err(invalid)?.get();
        let rows: Vec<Row<'_>> = if value.starts_with('[') {
            serde_json::from_str(value).map_err(invalid)?
        } else {
            vec![serde_json::from_str(value).map_err(invalid)?]
        };
        for row in rows {
            if let Some((column, _)) = row.iter().find(|(_, value)| has_huge_integer(value.get().as_bytes()))
            {
                return Err(not_held(column, at, "a whole number of more than 64 bits"));
            }
            at += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(schema: &SchemaRef) -> Vec<String> {
        schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
    }

    #[test]
    fn csv_has_names_and_inferred_types() {
        let text = Bytes::from_static(
            b"\xef\xbb\xbfid,name,score,ok\n1,Ada,1.5,true\n2,\"Gr\xc3\xa4f, B\",,false\n",
        );
        let (schema, batches) = csv(&text).unwrap();
        assert_eq!(columns(&schema), ["id Int64", "name Utf8", "score Float64", "ok Boolean"]);
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
        let (schema, batches) = csv(&Bytes::from_static(b"a,b\n")).unwrap();
        assert_eq!((schema.fields().len(), batches.len()), (2, 0));
        assert!(csv(&Bytes::new()).is_err());
        assert!(csv(&Bytes::from_static(b"a,b\n1\n")).is_err());
    }

    fn csv_types(text: &'static str) -> Vec<String> {
        columns(&csv(&Bytes::from_static(text.as_bytes())).unwrap().0)
    }

    #[test]
    fn numbers_of_csv_are_never_changed() {
        for (text, expected) in [
            ("a\n007\n1\n", "a Utf8"),
            ("a\n-01\n", "a Utf8"),
            ("a\n+49\n", "a Utf8"),
            ("a\n00.5\n", "a Utf8"),
            ("a\n0\n0\n", "a Int64"),
            ("a\n0.5\n-0.25\n", "a Float64"),
            ("a\n1\n2.5\n", "a Float64"),
            ("a\n9223372036854775807\n-9223372036854775808\n", "a Int64"),
            ("a\n9223372036854775808\n1\n", "a UInt64"),
            ("a\n18446744073709551615\n", "a UInt64"),
            ("a\n18446744073709551616\n", "a Utf8"),
            ("a\n9223372036854775808\n-1\n", "a Utf8"),
            ("a\n9007199254740993\n0.5\n", "a Utf8"),
            ("a\n9007199254740992\n0.5\n", "a Float64"),
            ("a\n0.12345678901234567890\n", "a Utf8"),
            ("a\n1e400\n", "a Utf8"),
            ("a\n1e3\n", "a Float64"),
            ("a\n\"\"\nx\n", "a Utf8"),
        ] {
            assert_eq!(csv_types(text), [expected], "{text:?}");
        }
        let (_, batches) = csv(&Bytes::from_static(b"zip\n01067\n10115\n")).unwrap();
        let texts = batches[0].column(0).as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(texts.iter().flatten().collect::<Vec<_>>(), ["01067", "10115"]);
    }

    #[test]
    fn columns_of_one_name_are_refused() {
        let error = csv(&Bytes::from_static(b"a,b,a\n1,2,3\n")).unwrap_err();
        assert!(error.to_string().contains("\"a\""), "{error}");
    }

    #[test]
    fn whole_numbers_of_json_are_never_rounded() {
        for (text, expected) in [
            (r#"[{"a":9223372036854775807}]"#, Ok("a Int64")),
            (r#"[{"a":1},{"a":18446744073709551615}]"#, Ok("a UInt64")),
            (r#"[{"a":1},{"a":0.5}]"#, Ok("a Float64")),
            (r#"[{"a":"18446744073709551616"}]"#, Ok("a Utf8")),
            (r#"[{"a":1},{"a":18446744073709551616}]"#, Err("column \"a\", row 1")),
            ("{\"x\":\"\\\"\",\"a\":[-18446744073709551616]}", Err("column \"a\", row 0")),
            (r#"[{"a":-1},{"a":18446744073709551615}]"#, Err("column \"a\", row 1")),
            (r#"[{"a":9007199254740993},{"a":0.5}]"#, Err("column \"a\", row 0")),
            (r#"[{"a":{"b":[18446744073709551615]}}]"#, Err("column \"a\", row 0")),
        ] {
            let read = json(&Bytes::from_static(text.as_bytes()));
            match expected {
                Ok(expected) => assert_eq!(columns(&read.unwrap().0), [expected], "{text}"),
                Err(part) => assert!(read.unwrap_err().to_string().contains(part), "{text}"),
            }
        }
        let (_, batches) = json(&Bytes::from_static(br#"[{"a":18446744073709551615}]"#)).unwrap();
        let numbers = batches[0].column(0).as_any().downcast_ref::<arrow_array::UInt64Array>().unwrap();
        assert_eq!(numbers.value(0), u64::MAX);
    }

    #[test]
    fn json_rows_come_in_an_array_or_one_after_the_other() {
        for text in ["[{\"id\":1,\"n\":\"a\"},{\"id\":2}]", "{\"id\":1,\"n\":\"a\"}\n{\"id\":2}\n"] {
            let (schema, batches) = json(&Bytes::from_static(text.as_bytes())).unwrap();
            assert_eq!(columns(&schema), ["id Int64", "n Utf8"]);
            assert_eq!(batches[0].num_rows(), 2);
        }
        for text in ["", "[]", "[1]", "{\"a\":1} x", "3"] {
            assert!(json(&Bytes::from_static(text.as_bytes())).is_err(), "{text}");
        }
        let many: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        let (_, batches) = json(&Bytes::from(many)).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [8192, 8192, 3616]);
    }

    #[test]
    fn the_extension_decides_and_without_a_file_the_first_bytes() {
        for (path, expected) in [
            ("a.arrow", Some(Format::Arrow)),
            ("a.IPC", Some(Format::Arrow)),
            ("dir.csv/a.json", Some(Format::Json)),
            ("a.csv", Some(Format::Csv)),
            ("a.parquet", None),
            ("a", None),
        ] {
            assert_eq!(format(Some(Path::new(path)), b"ARROW1").ok(), expected, "{path}");
        }
        assert_eq!(format(None, b"ARROW1\0\0").ok(), Some(Format::Arrow));
        assert_eq!(format(None, b" [{}]").ok(), Some(Format::Json));
        assert_eq!(format(None, b"a,b\n").ok(), None);
    }
}
