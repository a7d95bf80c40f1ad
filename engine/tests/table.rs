//! Tables: round trips, files of other writers, and hostile input.
#![cfg(feature = "table")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "table/columns.rs"]
mod columns;
#[path = "table/compressed.rs"]
mod compressed;
#[path = "table/crafted.rs"]
mod crafted;
#[path = "table/fixtures.rs"]
mod fixtures;
#[path = "table/hostile.rs"]
mod hostile;
#[path = "table/malformed.rs"]
mod malformed;
#[path = "table/property.rs"]
mod property;
#[path = "table/round_trip.rs"]
mod round_trip;
#[path = "table/shared.rs"]
mod shared;

use arrow_array::RecordBatch;
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
