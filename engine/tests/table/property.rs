//! What must hold for any bytes as a table: the body of the tests with hostile input and of the fuzz targets.

use allocation_counter::measure;
use arrow_array::Array;
use arrow_buffer::{Buffer, MutableBuffer};
use bytes::Bytes;
use natsbridge::payload::table::{Table, decode, encode};
use natsbridge::{ErrorKind, Limits, Result};

/// What one call may hold besides the table's buffers: arrays, schemas, error texts.
pub(crate) const OVERHEAD: usize = 256 * 1024;

/// Decodes input that somebody tampered with, at an address that is `offset` past a multiple of 64, and checks all that
/// can be promised: a sound table that is written and read again as it is, or a typed error with its place; no panic
/// inside, and no more memory than the limit.
pub(crate) fn attack_at(offset: usize, data: &[u8], limit: usize, overhead: usize) -> Result<Table> {
    let limits = Limits::default().table_len(limit as u64);
    let data = at_offset(data, offset);
    let (result, held) = peak(|| decode(&data, &limits));
    // A body that is not aligned is copied.
    let copied = if offset.is_multiple_of(8) { 0 } else { data.len() };
    assert!(held <= limit + overhead + copied, "{held} bytes held with a limit of {limit}");
    match &result {
        Ok(table) => assert_sound(table),
        Err(err) => {
            // Not `Bug`: that is a panic of Arrow's.
            assert!(
                matches!(err.kind(), ErrorKind::InvalidTable | ErrorKind::LimitExceeded),
                "{err}: {data:?}"
            );
            assert!(err.offset().is_some_and(|at| at <= data.len() as u64), "{err}");
        }
    }
    result
}

/// Arrow's own check of everything; and the table is the same after it was written and read once more.
pub(crate) fn assert_sound(table: &Table) {
    for batch in table.batches() {
        assert_eq!(batch.schema_ref(), table.schema());
        for column in batch.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
    let again = match encode(table.schema(), table.batches()) {
        Ok(pieces) => decode(&Bytes::from(pieces.concat()), &Limits::default()).unwrap(),
        // Arrow reads a few types that it does not write, such as a dictionary of dictionaries.
        Err(err) => return assert_eq!(err.kind(), ErrorKind::InvalidInput),
    };
    assert_eq!(again.schema().fields(), table.schema().fields());
    assert_eq!(again.schema().metadata(), table.schema().metadata());
    assert_eq!(again.batches(), table.batches());
}

/// Runs `work` and returns its result with the most bytes that it held at once, on this thread.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let mut result = None;
    let allocated = measure(|| result = Some(work()));
    (result.unwrap(), usize::try_from(allocated.bytes_max).unwrap())
}

/// The same bytes at an address that is `offset` past a multiple of 64.
pub(crate) fn at_offset(data: &[u8], offset: usize) -> Bytes {
    let mut buffer = MutableBuffer::from_len_zeroed(offset);
    buffer.extend_from_slice(data);
    let shared = Bytes::from_owner(Buffer::from(buffer));
    assert_eq!(shared.as_ptr() as usize % 64, 0);
    shared.slice(offset..)
}
