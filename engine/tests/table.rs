//! Tables: round trips, files of other writers, and hostile input.
#![cfg(feature = "table")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "table/allocator.rs"]
mod allocator;
#[path = "table/fixtures.rs"]
mod fixtures;
#[path = "table/hostile.rs"]
mod hostile;
#[path = "table/malformed.rs"]
mod malformed;
#[path = "table/round_trip.rs"]
mod round_trip;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, ListArray, RecordBatch, StringArray, types::Int32Type,
};
use arrow_buffer::{Buffer, MutableBuffer};
use bytes::Bytes;
use natsbridge::payload::table::{self, Table};
use natsbridge::{Limits, Result};

/// The stream of batches of one schema.
fn stream_of(batches: &[RecordBatch]) -> Vec<u8> {
    table::encode(&batches[0].schema(), batches).unwrap().concat()
}

fn read(data: impl Into<Bytes>) -> Result<Table> {
    table::decode(&data.into(), &Limits::default())
}

/// The same bytes at an address that is `offset` past a multiple of 64.
fn at_offset(data: &[u8], offset: usize) -> Bytes {
    let mut buffer = MutableBuffer::from_len_zeroed(offset);
    buffer.extend_from_slice(data);
    let shared = Bytes::from_owner(Buffer::from(buffer));
    assert_eq!(shared.as_ptr() as usize % 64, 0);
    shared.slice(offset..)
}

fn batch(columns: impl IntoIterator<Item = (&'static str, ArrayRef)>) -> RecordBatch {
    // All nullable, so that batches with and without nulls share a schema.
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

/// Two small batches with the kinds of column that differ in layout: numbers, strings, lists, a dictionary.
fn small() -> [RecordBatch; 2] {
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

/// Arrow's own check of everything, for arrays that came out of damaged input.
fn assert_sound(table: &Table) {
    for batch in table.batches() {
        assert_eq!(batch.schema_ref(), table.schema());
        for column in batch.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
}
