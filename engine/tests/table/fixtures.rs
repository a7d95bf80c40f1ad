//! Files of other writers; see `data/arrow/make.py` and `make.mjs`.

use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use natsbridge::ErrorKind;
use natsbridge::payload::table::Table;
use serde_json::{Value, json};

use super::property::at_offset;
use super::read;

const SALES: [&str; 7] = [
    "py-stream",
    "py-stream-lz4",
    "py-stream-zstd",
    "py-stream-legacy",
    "py-file",
    "py-file-lz4",
    "py-file-zstd",
];

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/arrow", name].iter().collect()
}

fn assert_holds(name: &str, table: &Table, expected: &str) {
    let expected: Value = serde_json::from_slice(&fixture(expected)).unwrap();
    let names: Vec<_> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
    let expected_names: Vec<_> = expected["columns"].as_object().unwrap().keys().cloned().collect();
    let (mut sorted, mut expected_sorted) = (names, expected_names);
    sorted.sort();
    expected_sorted.sort();
    assert_eq!(sorted, expected_sorted, "{name}");
    let metadata: Value =
        table.schema().metadata().iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    assert_eq!(metadata, expected["metadata"], "{name}");
    let batch_rows: Vec<_> = table.batches().iter().map(|batch| batch.num_rows()).collect();
    assert_eq!(json!(batch_rows), expected["batch_rows"], "{name}");

    let rows = table.batches().iter().flat_map(|batch| {
        (0..batch.num_rows())
            .map(|row| batch.columns().iter().map(|column| value(column, row)).collect::<Value>())
    });
    let expected_rows = expected["rows"].as_array().unwrap();
    assert_eq!(table.row_count(), expected_rows.len() as u64);
    for (index, (row, expected)) in rows.zip(expected_rows).enumerate() {
        assert_eq!(&row, expected, "{name}, row {index}");
    }
}

fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(row)),
        // JavaScript writes whole floats without a fraction.
        DataType::Float64 => match array.as_primitive::<Float64Type>().value(row) {
            whole if whole.fract() == 0.0 && array.len() == 30 => json!(whole as i64),
            float => json!(float),
        },
        DataType::Timestamp(..) => json!(array.as_primitive::<TimestampMillisecondType>().value(row)),
        DataType::Decimal128(..) => json!(array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => json!(array.as_string::<i64>().value(row)),
        DataType::Dictionary(..) => {
            let array = array.as_any_dictionary();
            value(array.values(), array.normalized_keys()[row])
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| value(&items, item)).collect()
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            fields
                .iter()
                .zip(columns)
                .map(|(field, column)| (field.name().clone(), value(column, row)))
                .collect()
        }
        other => panic!("a fixture has a column of the type {other}"),
    }
}

#[test]
fn files_of_pyarrow_hold_what_pyarrow_wrote() {
    for name in SALES {
        let table = read(fixture(&format!("{name}.arrow"))).unwrap();
        assert_holds(name, &table, "sales.json");
        let unit = table.schema().field(0).metadata().get("unit").map(String::as_str);
        assert_eq!(unit, Some("none"), "{name}");
    }
}

#[test]
fn files_of_pyarrow_hold_the_same_at_every_alignment() {
    for name in SALES {
        let data = fixture(&format!("{name}.arrow"));
        for offset in [1, 2, 4, 7, 8, 16, 24, 63] {
            assert_holds(name, &read(at_offset(&data, offset)).unwrap(), "sales.json");
        }
    }
}

#[test]
fn dictionaries_grow_and_are_replaced() {
    for (name, expected) in [
        ("py-stream-delta", "delta.json"),
        ("py-file-delta", "delta.json"),
        ("py-stream-replacement", "replacement.json"),
    ] {
        assert_holds(name, &read(fixture(&format!("{name}.arrow"))).unwrap(), expected);
    }
}

#[test]
fn files_of_javascript_hold_what_it_wrote() {
    for name in ["js-stream", "js-file"] {
        assert_holds(name, &read(fixture(&format!("{name}.arrow"))).unwrap(), "js.json");
    }
}

#[test]
fn a_big_endian_table_is_refused() {
    let err = read(fixture("py-stream-big-endian.arrow")).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::InvalidTable);
    assert!(err.to_string().contains("big-endian"), "{err}");
}

#[test]
fn no_fixture_is_large() {
    let files = std::fs::read_dir(path("")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let sizes: Vec<_> = files.collect();
    assert!(
        sizes.len() > 15 && sizes.iter().all(|size| *size < 20_000) && sizes.iter().sum::<u64>() < 200_000
    );
}
