//! Bodies in LZ4 and ZSTD mean what plain ones do.

use std::sync::Arc;

use arrow_array::builder::{StringViewBuilder, UnionBuilder};
use arrow_array::types::*;
use arrow_array::*;
use arrow_buffer::i256;
use arrow_ipc::CompressionType;

use super::columns::{batch, column, every_type, small};
use super::hostile::{compressed_stream_of, file_of};
use super::{read, stream_of};

const CODECS: [CompressionType; 2] = [CompressionType::LZ4_FRAME, CompressionType::ZSTD];

/// Long columns of every layout, so that none of their buffers is left as it is.
fn long() -> RecordBatch {
    const ROWS: i32 = 3000;
    let word = |row: i32| format!("the word number {}", row % 700);
    let words: DictionaryArray<Int16Type> =
        (0..ROWS).map(word).collect::<Vec<_>>().iter().map(|word| &**word).collect();
    let lists = (0..ROWS).map(|row| (row % 5 > 0).then(|| vec![Some(row), None, Some(1)]));
    let mut views = StringViewBuilder::new();
    (0..ROWS).for_each(|row| views.append_value(word(row)));
    let mut union = UnionBuilder::new_dense();
    for row in 0..ROWS {
        union.append::<Int32Type>("number", row).unwrap();
    }
    let decimals = Decimal256Array::from_iter((0..ROWS).map(|row| (row % 9 > 0).then(|| i256::from(row))));
    batch([
        (
            "i64",
            column(Int64Array::from_iter((0..ROWS).map(|row| (row % 7 > 0).then_some(i64::from(row) / 3)))),
        ),
        ("bool", column(BooleanArray::from_iter((0..ROWS).map(|row| Some(row % 64 < 32))))),
        ("decimal", column(decimals)),
        ("text", column(StringArray::from_iter_values((0..ROWS).map(word)))),
        ("word", column(words)),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)) as _),
        ("view", column(views.finish())),
        ("union", column(union.build().unwrap())),
    ])
}

#[test]
fn compressed_columns_of_every_layout_come_back_as_they_were() {
    let batches = [long(), long().slice(1000, 1500), long().slice(0, 0)];
    let plain = stream_of(&batches).len();
    for codec in CODECS {
        let stream = compressed_stream_of(&batches, codec);
        assert!(stream.len() < plain / 2, "{codec:?}: {} of {plain}", stream.len());
        assert_eq!(read(stream).unwrap().batches(), batches, "{codec:?}");
        let whole = [long(), long()];
        assert_eq!(read(file_of(&whole, Some(codec))).unwrap().batches(), whole, "{codec:?}");
    }
}

#[test]
fn buffers_that_no_codec_makes_shorter_come_back_as_they_were() {
    for codec in CODECS {
        for batches in [vec![every_type(); 2], small().to_vec()] {
            assert_eq!(read(compressed_stream_of(&batches, codec)).unwrap().batches(), batches, "{codec:?}");
        }
    }
}
