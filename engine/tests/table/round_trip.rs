//! What is written is read back, without a copy where the input allows it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::*;
use arrow_array::*;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use natsbridge::payload::table::{decode, encode};
use natsbridge::{ErrorKind, Limits, PayloadData, PayloadType};

use super::columns::{batch, column, every_type, small};
use super::property::at_offset;
use super::{read, stream_of};

#[test]
fn every_column_type_comes_back_as_it_was() {
    let sent = every_type();
    let table = read(stream_of(std::slice::from_ref(&sent))).unwrap();
    assert_eq!(table.schema(), sent.schema_ref());
    for (index, field) in sent.schema().fields().iter().enumerate() {
        let [received] = table.batches() else { panic!("one batch") };
        assert_eq!(received.column(index), sent.column(index), "{}", field.name());
    }
    assert_eq!(table.into_batches(), [sent]);
}

#[test]
fn slices_and_empty_batches_come_back_as_they_were() {
    let whole = every_type();
    let batches = [whole.clone(), whole.slice(1, 1), whole.slice(2, 1), whole.slice(0, 0), whole];
    let table = read(stream_of(&batches)).unwrap();
    assert_eq!(table.row_count(), 8);
    assert_eq!(table.batches(), batches);
}

#[test]
fn metadata_of_the_schema_and_of_fields_is_kept() {
    let pair = |value: &str| HashMap::from([("key".to_owned(), value.to_owned())]);
    let field = Field::new("n", DataType::Int32, false).with_metadata(pair("of the field"));
    let schema: SchemaRef = Schema::new_with_metadata(vec![field], pair("of the schema")).into();
    let stream = encode(&schema, &[]).unwrap().concat();
    assert_eq!(read(stream).unwrap().schema(), &schema);
}

#[test]
fn metadata_of_many_fields_may_have_a_million_pairs() {
    let pairs: HashMap<_, _> = (0..10_001).map(|n| (n.to_string(), String::new())).collect();
    let field = |n: usize| Field::new(n.to_string(), DataType::Int32, false).with_metadata(pairs.clone());
    let schema: SchemaRef = Schema::new((0..100).map(field).collect::<Vec<_>>()).into();
    assert_eq!(read(encode(&schema, &[]).unwrap().concat()).unwrap().schema(), &schema);
}

#[test]
fn no_batches_and_no_columns_are_tables() {
    let schema: SchemaRef = Schema::new(vec![Field::new("n", DataType::Int32, false)]).into();
    let table = read(encode(&schema, &[]).unwrap().concat()).unwrap();
    assert_eq!((table.row_count(), table.batches().len(), table.schema()), (0, 0, &schema));

    let rows_only = RecordBatchOptions::new().with_row_count(Some(9));
    let rows_only = RecordBatch::try_new_with_options(Schema::empty().into(), vec![], &rows_only).unwrap();
    assert_eq!(read(stream_of(&[rows_only])).unwrap().row_count(), 9);
}

#[test]
fn dictionaries_may_differ_between_batches() {
    let words = |words: [&str; 3]| {
        batch([("word", column(words.into_iter().collect::<DictionaryArray<Int32Type>>()))])
    };
    let batches = [words(["a", "b", "a"]), words(["x", "y", "z"]), words(["a", "b", "a"])];
    assert_eq!(read(stream_of(&batches)).unwrap().batches(), batches);
}

#[test]
fn a_batch_with_other_columns_is_invalid_input() {
    let [batch, _] = small();
    let other = batch.project(&[0, 1]).unwrap();
    let err = encode(&batch.schema(), &[batch.clone(), other]).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::InvalidInput);
    assert!(err.to_string().contains("record batch 1"), "{err}");

    let values = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let nested = DataType::Dictionary(Box::new(DataType::Int8), Box::new(values));
    let schema = Schema::new(vec![Field::new("d", nested, true)]).into();
    assert_eq!(encode(&schema, &[]).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn large_columns_are_written_and_read_without_a_copy() {
    let array = column(Int64Array::from_iter_values(0..10_000));
    let sent = batch([("n", Arc::clone(&array))]);
    let pieces = encode(&sent.schema(), std::slice::from_ref(&sent)).unwrap();
    let values = array.to_data().buffers()[0].as_ptr();
    assert!(pieces.iter().any(|piece| piece.as_ptr() == values));
    assert!(pieces.len() <= 3, "{} pieces", pieces.len());

    let input = at_offset(&pieces.concat(), 0);
    let range = input.as_ptr_range();
    let table = decode(&input, &Limits::default()).unwrap();
    let data = table.batches()[0].column(0).to_data();
    let received = data.buffers()[0].as_slice().as_ptr_range();
    assert!(range.start <= received.start && received.end <= range.end);
    assert_eq!(table.batches(), [sent]);
}

#[test]
fn misaligned_input_gives_the_same_table() {
    let batches = [every_type(), every_type().slice(1, 2)];
    let stream = stream_of(&batches);
    for offset in 0..64 {
        assert_eq!(read(at_offset(&stream, offset)).unwrap().batches(), batches, "offset {offset}");
    }
}

#[test]
fn a_table_outlives_its_input() {
    let [sent, _] = small();
    let input = Bytes::from(stream_of(std::slice::from_ref(&sent)));
    let table = decode(&input, &Limits::default()).unwrap();
    drop(input);
    assert_eq!(table.batches(), [sent]);
}

#[test]
fn debug_output_shows_the_shape_and_no_values() {
    let table = read(stream_of(&small())).unwrap();
    assert_eq!(format!("{table:?}"), "Table { columns: 4, batches: 2, rows: 10 }");
}

#[test]
fn json_rows_are_told_from_arrow() {
    let is_json_rows =
        |bytes: &[u8]| PayloadData::new(PayloadType::Table, bytes.to_vec(), None, 0).is_json_rows();
    for rows in [&b"[]"[..], b" \t\r\n[{}]", b"["] {
        assert!(is_json_rows(rows));
    }
    for other in [&b""[..], b"  ", b"{}", b"\xEF\xBB\xBF[]", b"ARROW1", &stream_of(&small())] {
        assert!(!is_json_rows(other));
    }
}
