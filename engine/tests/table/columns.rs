//! Tables to start from: every type of column, what differs in layout, what is worth compressing.

use std::sync::Arc;

use arrow_array::builder::{
    Int32Builder, ListViewBuilder, MapBuilder, StringBuilder, StringViewBuilder, UnionBuilder,
};
use arrow_array::types::*;
use arrow_array::*;
use arrow_buffer::{Buffer, IntervalDayTime, IntervalMonthDayNano, NullBuffer, OffsetBuffer, i256};
use arrow_schema::{DataType, Field};

pub(crate) fn batch(columns: impl IntoIterator<Item = (&'static str, ArrayRef)>) -> RecordBatch {
    // All nullable, so that batches with and without nulls share a schema.
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

/// Two small batches with the kinds of column that differ in layout: numbers, strings, lists, a dictionary.
pub(crate) fn small() -> [RecordBatch; 2] {
    let one = |start: i32| {
        let words: DictionaryArray<Int32Type> =
            ["red", "green", "red", "blue", "green"].into_iter().collect();
        let lists =
            [Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(start)]), Some(vec![Some(7); 3])];
        batch([
            ("n", Arc::new(Int32Array::from_iter((0..5).map(|i| (i != 2).then_some(start + i)))) as _),
            (
                "text",
                Arc::new(StringArray::from(vec![Some("a"), Some("größe"), None, Some(""), Some("e")])) as _,
            ),
            ("word", Arc::new(words) as _),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)) as _),
        ])
    };
    [one(0), one(100)]
}

/// Columns long enough to be worth compressing, so that the buffers are not stored raw.
pub(crate) fn compressible() -> RecordBatch {
    batch([("n", Arc::new(Int32Array::from_iter((0..64).map(|i| (i % 3 > 0).then_some(i % 2)))) as _)])
}

pub(crate) fn column(array: impl Array + 'static) -> ArrayRef {
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
