//! What is written is read back, without a copy where the input allows it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    Int32Builder, ListViewBuilder, MapBuilder, StringBuilder, StringViewBuilder, UnionBuilder,
};
use arrow_array::types::*;
use arrow_array::*;
use arrow_buffer::{Buffer, IntervalDayTime, IntervalMonthDayNano, NullBuffer, OffsetBuffer, i256};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use natsbridge::payload::table::{decode, encode};
use natsbridge::{ErrorKind, Limits, PayloadData, PayloadType};

use super::{at_offset, batch, read, small, stream_of};

fn column(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

/// Three rows, the second one null where the type has nulls.
pub(crate) fn every_type() -> RecordBatch {
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();

    let unions = [UnionBuilder::new_dense(), UnionBuilder::new_sparse()].map(|mut union| {
        union.append::<Int32Type>("number", 7).unwrap();
        union.append_null::<Float64Type>("float").unwrap();
        union.append::<Float64Type>("float", 1.5).unwrap();
        column(union.build().unwrap())
    });
    let [dense, sparse] = unions;

    let mut views = StringViewBuilder::new();
    views.append_value("short");
    views.append_null();
    views.append_value("longer than the twelve bytes that a view holds itself");
    let mut list_views = ListViewBuilder::new(Int32Builder::new());
    list_views.append_value([Some(1), None]);
    list_views.append_null();
    list_views.append_value([]);

    let words: DictionaryArray<Int8Type> = [Some("x"), None, Some("x")].into_iter().collect();
    let lists = [Some(vec![Some(1), None]), None, Some(vec![])];
    let pairs = [Some(vec![Some(1), Some(2)]), None, Some(vec![Some(3), None])];
    let runs =
        RunArray::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec!["run", "end"])).unwrap();
    let point = StructArray::from((
        vec![
            (
                Arc::new(Field::new("x", DataType::Int16, true)),
                column(Int16Array::from(vec![Some(1), None, None])),
            ),
            (Arc::new(Field::new("s", DataType::Utf8, true)), column(StringArray::from(vec!["p", "", "q"]))),
        ],
        Buffer::from([0b101]),
    ));
    let inner =
        ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1)]), None, Some(vec![])]);
    let item = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
    let nulls = NullBuffer::from(vec![true, false, true]);
    let lists_of_lists =
        ListArray::new(item, OffsetBuffer::new(vec![0, 2, 2, 3].into()), column(inner), Some(nulls));

    batch([
        ("null", column(NullArray::new(3))),
        ("bool", column(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("i8", column(Int8Array::from(vec![Some(i8::MIN), None, Some(1)]))),
        ("i16", column(Int16Array::from(vec![Some(i16::MIN), None, Some(1)]))),
        ("i32", column(Int32Array::from(vec![Some(i32::MIN), None, Some(1)]))),
        ("i64", column(Int64Array::from(vec![Some(i64::MIN), None, Some(1)]))),
        ("u8", column(UInt8Array::from(vec![Some(u8::MAX), None, Some(1)]))),
        ("u16", column(UInt16Array::from(vec![Some(u16::MAX), None, Some(1)]))),
        ("u32", column(UInt32Array::from(vec![Some(u32::MAX), None, Some(1)]))),
        ("u64", column(UInt64Array::from(vec![Some(u64::MAX), None, Some(1)]))),
        ("f16", column(Float16Array::new_null(3))),
        ("f32", column(Float32Array::from(vec![Some(-0.0), None, Some(f32::INFINITY)]))),
        ("f64", column(Float64Array::from(vec![Some(1e300), None, Some(f64::MIN_POSITIVE)]))),
        ("date32", column(Date32Array::from(vec![Some(19_000), None, Some(-1)]))),
        ("date64 that is no whole day", column(Date64Array::from(vec![Some(1), None, Some(-1)]))),
        ("time32", column(Time32MillisecondArray::from(vec![Some(1), None, Some(-1)]))),
        ("time64", column(Time64NanosecondArray::from(vec![Some(1), None, Some(i64::MAX)]))),
        ("seconds", column(TimestampSecondArray::from(vec![Some(1), None, Some(-1)]))),
        (
            "micros in a zone",
            column(
                TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1)]).with_timezone("Asia/Bangkok"),
            ),
        ),
        ("nanos", column(TimestampNanosecondArray::from(vec![Some(i64::MAX), None, Some(i64::MIN)]))),
        ("duration", column(DurationMillisecondArray::from(vec![Some(1), None, Some(-1)]))),
        ("months", column(IntervalYearMonthArray::from(vec![Some(13), None, Some(-1)]))),
        ("days", column(IntervalDayTimeArray::from(vec![Some(IntervalDayTime::new(1, 2)), None, None]))),
        (
            "mixed",
            column(IntervalMonthDayNanoArray::from(vec![
                Some(IntervalMonthDayNano::new(1, 2, 3)),
                None,
                None,
            ])),
        ),
        (
            "d32",
            column(
                Decimal32Array::from(vec![Some(123), None, Some(-1)]).with_precision_and_scale(9, 2).unwrap(),
            ),
        ),
        (
            "d64",
            column(
                Decimal64Array::from(vec![Some(123), None, Some(-1)])
                    .with_precision_and_scale(18, 2)
                    .unwrap(),
            ),
        ),
        (
            "d128",
            column(
                Decimal128Array::from(vec![Some(1), None, Some(-1)]).with_precision_and_scale(38, 9).unwrap(),
            ),
        ),
        (
            "d256",
            column(
                Decimal256Array::from(vec![Some(i256::ONE), None, Some(i256::MINUS_ONE)])
                    .with_precision_and_scale(76, -3)
                    .unwrap(),
            ),
        ),
        ("utf8", column(StringArray::from(vec![Some("Übung 漢字 😀"), None, Some("")]))),
        ("large utf8", column(LargeStringArray::from(vec![Some("a"), None, Some("b")]))),
        ("views", column(views.finish())),
        ("binary", column(BinaryArray::from(vec![Some(&b"\0\xff"[..]), None, Some(b"")]))),
        ("large binary", column(LargeBinaryArray::from(vec![Some(&b"\0\xff"[..]), None, Some(b"")]))),
        (
            "fixed binary",
            column(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    [Some(b"ab"), None, Some(b"cd")].into_iter(),
                    2,
                )
                .unwrap(),
            ),
        ),
        ("list", column(ListArray::from_iter_primitive::<Int32Type, _, _>(lists.clone()))),
        ("large list", column(LargeListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ("list view", column(list_views.finish())),
        ("fixed list", column(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(pairs, 2))),
        ("lists of lists", column(lists_of_lists)),
        ("struct", column(point)),
        ("empty struct", column(StructArray::new_empty_fields(3, None))),
        ("map", column(map.finish())),
        ("dense union", dense),
        ("sparse union", sparse),
        ("dictionary", column(words)),
        ("runs", column(runs)),
    ])
}

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
