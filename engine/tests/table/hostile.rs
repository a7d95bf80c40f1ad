//! Damaged and hostile input: a typed error or a sound table, never a panic, never memory that the limit forbids.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Int32Array, Int64Array, NullArray, RecordBatch};
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use natsbridge::payload::table::{Table, decode, encode};
use natsbridge::{Error, ErrorKind, Limits, Result};

use super::columns::{batch, compressible, every_type, small};
use super::fixtures::fixture;
use super::property::{OVERHEAD, attack_at, peak};
use super::{read, stream_of};

pub(crate) fn attack(data: &[u8], limit: usize, overhead: usize) -> Result<Table> {
    attack_at(0, data, limit, overhead)
}

fn refused(data: &[u8]) -> Error {
    attack(data, 1 << 20, OVERHEAD).unwrap_err()
}

pub(crate) fn file_of(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    // A file cannot replace a dictionary, so all batches must have the same.
    let mut writer = FileWriter::try_new_with_options(vec![], &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

pub(crate) fn compressed_stream_of(batches: &[RecordBatch], compression: CompressionType) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(Some(compression)).unwrap();
    let mut writer = StreamWriter::try_new_with_options(vec![], &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

/// Where `data` holds `number`, in 64 bits.
fn places(data: &[u8], number: i64) -> Vec<usize> {
    (0..data.len() - 8).filter(|at| data[*at..*at + 8] == number.to_le_bytes()).collect()
}

#[test]
fn empty_and_foreign_input_is_refused() {
    for data in [
        &b""[..],
        b"\0",
        b"[]",
        b"{\"a\":1}",
        b"PK\x03\x04",
        &[0; 64],
        &[0xFF; 64],
        b"ARROW1",
        b"ARROW1\0\0ARROW1",
    ] {
        assert_eq!(refused(data).kind(), ErrorKind::InvalidTable);
    }
    assert!(refused(b"").to_string().contains("zero bytes"));
    assert_eq!(refused(b"ARROW1\0\0").offset(), Some(8));
}

#[test]
fn a_cut_stream_is_refused_unless_it_ends_between_messages() {
    let batches = small();
    let stream = stream_of(&batches);
    let mut whole_counts = Vec::new();
    for len in 0..stream.len() {
        match attack(&stream[..len], 1 << 20, OVERHEAD) {
            Ok(table) => {
                assert!(batches.starts_with(table.batches()));
                whole_counts.push(table.batches().len());
            }
            Err(err) => assert_eq!(err.kind(), ErrorKind::InvalidTable),
        }
    }
    // Behind the schema, the dictionary and the first batch; the second finds its dictionary unchanged.
    assert_eq!(whole_counts, [0, 0, 1, 2]);
    assert_eq!(read(stream).unwrap().batches(), batches);
}

#[test]
fn a_cut_file_is_always_refused() {
    for file in [file_of(&small(), None), fixture("py-file-zstd.arrow")] {
        for len in 0..file.len() {
            attack(&file[..len], 1 << 20, OVERHEAD).unwrap_err();
        }
    }
}

#[test]
fn bytes_behind_the_end_of_stream_are_ignored() {
    let batches = small();
    let mut stream = stream_of(&batches);
    stream.extend_from_slice(&stream.clone());
    stream.extend_from_slice(b"rubbish");
    assert_eq!(read(stream).unwrap().batches(), batches);
}

#[test]
fn any_value_of_any_byte_of_a_tiny_table_is_survived() {
    let tiny = batch([("n", Arc::new(Int32Array::from(vec![Some(1), None])) as _)]);
    for original in [stream_of(std::slice::from_ref(&tiny)), file_of(&[tiny], None)] {
        let mut data = original.clone();
        for at in 0..original.len() {
            for value in 0..=255 {
                data[at] = value;
                let _ = attack(&data, 1 << 16, OVERHEAD);
            }
            data[at] = original[at];
        }
    }
}

#[test]
fn damaged_bytes_of_larger_tables_are_survived() {
    let compressible = [compressible()];
    let inputs = [
        stream_of(&small()),
        file_of(&small(), None),
        compressed_stream_of(&compressible, CompressionType::LZ4_FRAME),
        compressed_stream_of(&compressible, CompressionType::ZSTD),
        fixture("py-stream-delta.arrow"),
        fixture("py-file-delta.arrow"),
        fixture("js-stream.arrow"),
    ];
    for original in inputs {
        let mut data = original.clone();
        for at in 0..original.len() {
            for flip in [0x01, 0x10, 0x80, 0xFF] {
                data[at] = original[at] ^ flip;
                let _ = attack(&data, 1 << 16, OVERHEAD);
            }
            data[at] = original[at];
        }
    }
}

#[test]
fn a_damaged_byte_in_a_table_of_every_type_is_survived() {
    let original = stream_of(&[every_type()]);
    let mut data = original.clone();
    for (at, byte) in original.into_iter().enumerate() {
        data[at] ^= [0x01, 0x10, 0x80, 0xFF][at / 8 % 4];
        let _ = attack(&data, 1 << 16, OVERHEAD);
        data[at] = byte;
    }
}

#[test]
fn hostile_numbers_anywhere_are_survived() {
    let numbers = [0, 1, 7, -1, 0x7FFF_FFFF, 0x8000_0000, 100 << 30, 1 << 62, i64::MAX, i64::MIN];
    let inputs = [
        stream_of(&small()),
        file_of(&small(), None),
        compressed_stream_of(&[compressible()], CompressionType::LZ4_FRAME),
        compressed_stream_of(&[compressible()], CompressionType::ZSTD),
    ];
    for original in inputs {
        let mut data = original.clone();
        for at in (0..original.len() - 8).step_by(4) {
            for number in numbers {
                data[at..at + 8].copy_from_slice(&number.to_le_bytes());
                let _ = attack(&data, 1 << 16, OVERHEAD);
                data[at..at + 8].copy_from_slice(&original[at..at + 8]);
            }
        }
    }
}

#[test]
fn a_claim_of_100_gib_fails_fast() {
    let start = Instant::now();
    let claim = (100_i64 << 30).to_le_bytes();
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let mut stream = compressed_stream_of(&[compressible()], codec);
        // The last 256 is the length of 64 numbers of 4 bytes, in front of the compressed bytes.
        let at = *places(&stream, 256).last().unwrap();
        stream[at..at + 8].copy_from_slice(&claim);
        let (result, held) = peak(|| decode(&Bytes::from(stream), &Limits::default()));
        let err = result.unwrap_err();
        // No codec makes that of so few bytes, whatever the limit.
        assert_eq!((err.kind(), err.offset()), (ErrorKind::InvalidTable, Some(at as u64)));
        assert!(err.to_string().contains("claims to unpack into 107374182400"), "{err}");
        assert!(held < OVERHEAD);
    }
    // A claim that a codec could keep is measured against the limit, all buffers together.
    let sevens = batch([("n", Arc::new(Int64Array::from(vec![7; 100_000])) as _)]);
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let stream = compressed_stream_of(&[sevens.clone(), sevens.clone()], codec);
        assert_eq!(attack(&stream, 1_700_000, OVERHEAD).unwrap().row_count(), 200_000);
        assert_eq!(attack(&stream, 1_500_000, 0).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    let rows = batch([("nothing", Arc::new(NullArray::new(0x0123_4567)) as _)]);
    let mut stream = stream_of(&[rows]);
    let places = places(&stream, 0x0123_4567);
    assert_eq!(places.len(), 3); // the batch's rows, the column's rows and its nulls
    places.into_iter().for_each(|at| stream[at..at + 8].copy_from_slice(&claim));
    assert_eq!(refused(&stream).kind(), ErrorKind::LimitExceeded);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_limit_counts_every_buffer_exactly() {
    let numbers = |from| batch([("n", Arc::new(Int64Array::from_iter_values(from..from + 1024)) as _)]);
    let stream = stream_of(&[numbers(0), numbers(5)]);
    // Values, and a bit for each row.
    let needed = 2 * (1024 * 8 + 1024 / 8);
    assert_eq!(attack(&stream, needed, OVERHEAD).unwrap().row_count(), 2048);
    let err = attack(&stream, needed - 1, OVERHEAD).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::LimitExceeded);
    assert_eq!((err.needed(), err.limit()), (Some(needed as u64), Some(needed as u64 - 1)));
}

#[test]
fn deltas_are_charged_for_the_copies_that_they_cause() {
    let stream = fixture("py-stream-delta.arrow");
    let fits = |limit| attack(&stream, limit, OVERHEAD).is_ok();
    let base = 3 * 4 + 2 + 1; // offsets, "ab", and a byte for the rows
    let delta = 2 * 4 + 1 + 1;
    let joined = base + delta + (base + 2 * delta);
    let batches = (3 * 4 + 1) + (3 * 4 + 1 + 1) + (4 + 1); // keys, once a validity, and a byte for the rows
    let needed = base + 2 * delta + joined + batches;
    assert!(fits(needed) && !fits(needed - 1));
}

#[test]
fn two_versions_of_the_format_are_read() {
    let version = |version| {
        let options = IpcWriteOptions::try_new(64, false, version).unwrap();
        let mut writer = StreamWriter::try_new_with_options(vec![], &small()[0].schema(), options).unwrap();
        small().iter().for_each(|batch| writer.write(batch).unwrap());
        writer.into_inner().unwrap()
    };
    assert_eq!(read(version(MetadataVersion::V4)).unwrap().batches(), small());
    assert_eq!(read(version(MetadataVersion::V5)).unwrap().batches(), small());
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| {
        let leaf = Field::new("leaf", DataType::Int32, true);
        let field =
            (1..depth).fold(leaf, |inner, _| Field::new("list", DataType::List(Arc::new(inner)), true));
        let schema = Arc::new(Schema::new(vec![field]));
        encode(&schema, &[RecordBatch::new_empty(Arc::clone(&schema))]).unwrap().concat()
    };
    assert_eq!(attack(&nested(64), 1 << 20, OVERHEAD).unwrap().row_count(), 0);
    for depth in [65, 80, 500] {
        assert!(matches!(refused(&nested(depth)).kind(), ErrorKind::LimitExceeded | ErrorKind::InvalidTable));
    }
    assert!(refused(&nested(65)).to_string().contains("nest deeper"));
}

#[test]
fn the_number_of_columns_is_bounded() {
    let wide = |count: usize| {
        let schema = Schema::new(
            (0..count).map(|i| Field::new(i.to_string(), DataType::Null, true)).collect::<Vec<_>>(),
        );
        encode(&schema.into(), &[]).unwrap().concat()
    };
    assert_eq!(read(wide(100_000)).unwrap().schema().fields().len(), 100_000);
    let err = read(wide(100_001)).unwrap_err();
    assert_eq!((err.kind(), err.limit()), (ErrorKind::LimitExceeded, Some(100_000)));
}

#[test]
fn text_that_is_not_utf8_is_refused_with_the_place_of_its_message() {
    let stream = stream_of(&small());
    let at = stream.windows(7).position(|window| window == "größe".as_bytes()).unwrap();
    let mut damaged = stream.clone();
    damaged[at + 2] = 0xFF;
    let err = refused(&damaged);
    assert_eq!(err.kind(), ErrorKind::InvalidTable);
    assert!(err.offset().is_some_and(|start| start < at as u64));
    assert!(
        std::error::Error::source(&err)
            .is_some_and(|source| source.to_string().to_lowercase().contains("utf"))
    );
}

#[test]
fn the_counter_sees_an_allocation_that_is_gone_again() {
    let ((), peak) = peak(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20))));
    assert!((1 << 20..2 << 20).contains(&peak), "{peak}");
}
