//! Bytes that many values share: each use of them costs the decoder as much as the first.

use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, FixedSizeListArray, Int8Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, StringViewArray, UnionArray,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{DictionaryHandling, IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType, Field, UnionFields};
use natsbridge::{Error, ErrorKind};

use super::columns::{batch, column};
use super::hostile::{attack, compressed_stream_of};
use super::property::OVERHEAD;
use super::{read, stream_of};

/// So many rows of one text.
fn repeated(text: &str, rows: usize) -> StringViewArray {
    let mut views = StringViewBuilder::new().with_deduplicate_strings();
    (0..rows).for_each(|_| views.append_value(text));
    let views = views.finish();
    assert_eq!(views.data_buffers().iter().map(|buffer| buffer.len()).sum::<usize>(), text.len());
    views
}

#[test]
fn views_count_by_their_length_however_few_bytes_they_share() {
    let rows = batch([("text", column(repeated(&"é".repeat(500), 64)))]);
    let words = StringViewArray::from_iter_values((0..64).map(|n| format!("{n} is a text of its own")));
    let own: usize = words.data_buffers().iter().map(|buffer| buffer.len()).sum();
    let words = batch([("text", column(words))]);
    let short = batch([("text", column(StringViewArray::from_iter_values(vec!["twelve bytes"; 64])))]);
    let mut bytes = BinaryViewBuilder::new().with_deduplicate_strings();
    (0..64).for_each(|_| bytes.append_value([7; 1000]));
    let bytes = batch([("bytes", column(bytes.finish()))]);
    let keys = Int32Array::from_iter_values(0..64);
    let dictionary = DictionaryArray::<Int32Type>::new(keys, column(repeated(&"é".repeat(500), 64)));
    let dictionary = batch([("text", column(dictionary))]);
    for (what, rows, needed) in [
        // Views, a bit for each row, and the text for each.
        ("shared", rows, 64 * 16 + 8 + 64 * 1000),
        ("not shared", words, 64 * 16 + 8 + own),
        ("in the view itself", short, 64 * 16 + 8),
        ("not text", bytes, 64 * 16 + 8 + 1000),
        ("of a dictionary", dictionary, 64 * 16 + 8 + 64 * 1000 + 64 * 4 + 8),
    ] {
        for stream in [
            stream_of(std::slice::from_ref(&rows)),
            compressed_stream_of(std::slice::from_ref(&rows), CompressionType::LZ4_FRAME),
            compressed_stream_of(std::slice::from_ref(&rows), CompressionType::ZSTD),
        ] {
            let table = attack(&stream, needed, OVERHEAD);
            assert_eq!(table.unwrap().batches(), std::slice::from_ref(&rows), "{what}");
            let error = attack(&stream, needed - 1, OVERHEAD).unwrap_err();
            assert_eq!(
                (error.kind(), error.needed()),
                (ErrorKind::LimitExceeded, Some(needed as u64)),
                "{what}"
            );
        }
    }
}

/// A stream whose second dictionary adds one value to the first.
fn with_delta(values: &ArrayRef) -> Vec<u8> {
    let rows = |count: usize| {
        let keys = Int32Array::from_iter_values([0, count as i32 - 1]);
        batch([("value", column(DictionaryArray::<Int32Type>::new(keys, values.slice(0, count))))])
    };
    let batches: [RecordBatch; 2] = [rows(values.len() - 1), rows(values.len())];
    let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    let mut writer = StreamWriter::try_new_with_options(vec![], &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    let stream = writer.into_inner().unwrap();
    assert!(stream.windows(4).filter(|four| **four == [0xFF; 4]).count() >= 5, "a schema, two pairs, an end");
    stream
}

fn refused(stream: &[u8]) -> Error {
    attack(stream, 1 << 20, OVERHEAD).unwrap_err()
}

#[test]
fn a_delta_adds_to_flat_values_only() {
    let flat: [ArrayRef; 4] = [
        column(StringArray::from(vec!["a", "b", "c"])),
        column(StringViewArray::from(vec!["a", "b", "longer than twelve bytes"])),
        column(Int64Array::from(vec![1, 2, 3])),
        column(arrow_array::BooleanArray::from(vec![true, false, true])),
    ];
    for values in flat {
        let table = read(with_delta(&values)).unwrap();
        let last = table.batches()[1].column(0).to_data().child_data()[0].clone();
        assert_eq!(last, values.to_data());
    }

    let lists =
        column(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None, Some(vec![])]));
    let runs =
        arrow_array::RunArray::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec!["run", "end"]));
    // Arrow's decoder would reserve 2^31 numbers for each of these rows, and panic.
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let huge = FixedSizeListArray::new(item, i32::MAX, column(Int64Array::from(Vec::<i64>::new())), None);
    let fields = UnionFields::try_new(
        [0, 1],
        [Field::new("number", DataType::Int8, true), Field::new("huge", huge.data_type().clone(), true)],
    );
    let numbers = column(Int8Array::from_iter_values(0..64));
    let union = UnionArray::try_new(
        fields.unwrap(),
        vec![0; 64].into(),
        Some((0..64).collect()),
        vec![numbers, column(huge)],
    );
    for values in [column(union.unwrap()), column(runs.unwrap()), lists] {
        let error = refused(&with_delta(&values));
        assert_eq!(
            error.explanation(),
            "a delta for a dictionary of nested values",
            "{}",
            values.data_type()
        );
    }
}
