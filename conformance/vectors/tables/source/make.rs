//! Writes the Arrow streams and files of the table vectors that come from arrow-rs: a name and hexadecimal bytes a line.
//!
//! Needs arrow-array, arrow-buffer, arrow-schema and arrow-ipc (with its features lz4 and zstd).

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::*;
use arrow_buffer::{NullBuffer, i256};
use arrow_ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{DataType, Field, Schema, TimeUnit};

fn main() {
    let all = all_types();
    show("stream", stream(&[all.clone()], IpcWriteOptions::default()));
    show("file", file(&[all.clone()], IpcWriteOptions::default()));
    let compressed = |kind| IpcWriteOptions::default().try_with_compression(Some(kind)).unwrap();
    let long = long();
    show("stream-lz4", stream(&[long.clone()], compressed(CompressionType::LZ4_FRAME)));
    show("stream-zstd", stream(&[long.clone()], compressed(CompressionType::ZSTD)));
    show("file-zstd", file(&[long], compressed(CompressionType::ZSTD)));
    let noise: Vec<i32> = (0..40).map(|i: i32| i.wrapping_mul(0x9E37_79B1_u32 as i32)).collect();
    show("stream-incompressible", stream(&[numbers(&noise)], compressed(CompressionType::ZSTD)));
    let batches = [numbers(&[1, 2]), numbers(&[]), numbers(&[3])];
    show("stream-batches", stream(&batches, IpcWriteOptions::default()));
    show("file-batches", file(&batches, IpcWriteOptions::default()));
    show("stream-sliced", stream(&[all.slice(1, 1)], IpcWriteOptions::default()));
    show("stream-dictionary", stream(&[words(&["b", "a", "b"]), words(&["c"])], IpcWriteOptions::default()));
    let delta = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    show("stream-delta", stream(&[words(&["b", "a", "b"]), words(&["b", "a", "c"])], delta));
    let legacy = IpcWriteOptions::try_new(8, true, MetadataVersion::V4).unwrap();
    show("stream-legacy", stream(&batches, legacy));
    let narrow = IpcWriteOptions::try_new(8, false, MetadataVersion::V5).unwrap();
    show("stream-alignment-8", stream(&batches, narrow));
}

fn show(name: &str, data: Vec<u8>) {
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{name} {hex}");
}

fn stream(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(vec![], &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn file(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = FileWriter::try_new_with_options(vec![], &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn numbers(values: &[i32]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("n", Arc::new(Int32Array::from(values.to_vec())) as ArrayRef, false)]).unwrap()
}

fn words(values: &[&str]) -> RecordBatch {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    values.iter().for_each(|value| builder.append_value(value));
    RecordBatch::try_from_iter([("word", Arc::new(builder.finish()) as ArrayRef)]).unwrap()
}

/// Long and regular enough to be worth compressing.
fn long() -> RecordBatch {
    let n = Int64Array::from_iter((0..200).map(|i| (i % 10 != 7).then_some(i / 4)));
    let s = StringArray::from_iter((0..200).map(|i| (i % 9 != 4).then(|| format!("row {}", i % 3))));
    RecordBatch::try_from_iter([("n", Arc::new(n) as ArrayRef), ("s", Arc::new(s) as ArrayRef)]).unwrap()
}

fn all_types() -> RecordBatch {
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1), None]);
    list.append_null();
    list.append_value([]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    let inner = vec![
        (Arc::new(Field::new("x", DataType::Int16, true)), Arc::new(Int16Array::from(vec![Some(-1), None, Some(3)])) as ArrayRef),
        (Arc::new(Field::new("y", DataType::Utf8, true)), Arc::new(StringArray::from(vec![Some("é"), Some("b"), None])) as ArrayRef),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = inner.into_iter().unzip();
    let place = StructArray::new(fields.into(), arrays, Some(NullBuffer::from(vec![true, false, true])));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i8", Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(1.5), None, Some(-0.0)]))),
        ("f64", Arc::new(Float64Array::from(vec![Some(f64::MAX), None, Some(5e-324)]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("s", Arc::new(StringArray::from(vec![Some("Größe 👋"), None, Some("")]))),
        ("bin", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff"), None, Some(b"")]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("short"), None, Some("longer than twelve bytes")]))),
        ("day", Arc::new(Date32Array::from(vec![Some(19_782), None, Some(-1)]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![Some(1_709_202_600_000), None, Some(-1)]).with_timezone("UTC"))),
        ("took", Arc::new(DurationNanosecondArray::from(vec![Some(1), None, Some(i64::MAX)]))),
        ("price", Arc::new(Decimal128Array::from(vec![Some(12_345), None, Some(-1)]).with_precision_and_scale(9, 2).unwrap())),
        ("huge", Arc::new(Decimal256Array::from(vec![Some(i256::from_i128(i128::MAX)), None, Some(i256::MINUS_ONE)]).with_precision_and_scale(76, 0).unwrap())),
        ("list", Arc::new(list.finish())),
        ("place", Arc::new(place)),
        ("map", Arc::new(map.finish())),
        ("none", Arc::new(NullArray::new(3))),
    ];
    let fields: Vec<_> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    assert_eq!(columns[9].1.data_type(), &DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}
