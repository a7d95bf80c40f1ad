//! Tables to send, from Arrow, CSV and JSON.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use natsbridge::payload::table;
use natsbridge::{Limits, Payload};
use serde_json::Value;

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

/// The first line holds the names; the types are those that fit all rows.
fn csv(bytes: &Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    // The byte order mark that spreadsheets write is no part of the first name.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let format = arrow_csv::reader::Format::default().with_header(true);
    let (schema, _) = format.infer_schema(Cursor::new(bytes), None)?;
    if schema.fields().is_empty() {
        return Err(ArrowError::CsvError("there is no header".to_owned()));
    }
    let schema = Arc::new(schema);
    let reader = arrow_csv::ReaderBuilder::new(Arc::clone(&schema))
        .with_header(true)
        .with_batch_size(BATCH_ROWS)
        .build(Cursor::new(bytes))?;
    Ok((schema, reader.collect::<Result<_, _>>()?))
}

/// An array of objects, or one object after the other.
fn json(bytes: &Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let invalid = |error: serde_json::Error| ArrowError::JsonError(error.to_string());
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
    let schema = arrow_json::reader::infer_json_schema_from_iterator(rows.iter().map(Ok))?;
    let schema = Arc::new(schema);
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(&schema)).build_decoder()?;
    let mut batches = Vec::new();
    for rows in rows.chunks(BATCH_ROWS) {
        decoder.serialize(rows)?;
        batches.extend(decoder.flush()?);
    }
    Ok((schema, batches))
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
