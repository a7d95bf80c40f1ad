//! Messages and payloads that are small, or claim to be, and would cost a careless reader much.
//!
//! Each is refused, or read without trusting what it claims: at most 8 MiB are taken beyond the input, and the time is at
//! most ten times that of a plain scan of the same bytes. Dense JSON has bounds of its own: see `DENSE` and `value_bomb`.
//! Time is that of the tests' own build, which is hardly optimised.

use std::hint::black_box;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use natsbridge::{Envelope, Error, ErrorKind, Limits, Metadata, PayloadData, PayloadType};

use super::{dictionary, direct, message};

const MOST: u64 = 8 << 20;

/// Plain scans that JSON of a value in a few bytes may take.
const DENSE: u32 = 25;

/// What a message costs however short it is.
const PER_MESSAGE: Duration = Duration::from_micros(2);

/// Reads a message and everything in it as what it claims to be: the first error, or how many bytes its payloads are.
fn consume(message: Vec<u8>) -> Result<u64, Error> {
    let envelope = Envelope::decode(message)?;
    black_box(envelope.metadata().get::<String>("k"));
    let mut len = 0;
    for payload in envelope.payloads() {
        black_box((payload.dataname(), payload.metadata().get::<u8>("k")));
        let data = payload.decode()?;
        len += data.bytes().len() as u64;
        match data.payload_type() {
            PayloadType::Dictionary => {
                black_box(data.json_text()?);
                drop(black_box(data.json_value()?));
            }
            PayloadType::Table => drop(black_box(data.record_batches()?)),
            PayloadType::Text => _ = black_box(data.text()?),
            _ => {}
        }
    }
    Ok(len)
}

/// What `consume` says of a message, and what it may take of memory and time.
#[track_caller]
fn bomb(name: &str, message: Vec<u8>) -> Result<u64, Error> {
    bomb_within(name, message, 10)
}

/// The same with so many plain scans of time.
#[track_caller]
fn bomb_within(name: &str, message: Vec<u8>, scans: u32) -> Result<u64, Error> {
    let copy = message.clone();
    let mut result = Ok(0);
    let taken = measure(|| result = consume(copy)).bytes_max;
    // The message itself was allocated before. What decoding has of right: the payloads' bytes.
    let decoded = *result.as_ref().unwrap_or(&0);
    assert!(taken <= MOST + decoded, "{name}: {taken} bytes for {decoded} of payload");
    cheap(name, scans, || _ = black_box(consume(message.clone())), || _ = black_box(plain_scan(&message)));
    result
}

/// Ours takes at most so many times as long as the other.
#[track_caller]
fn cheap(name: &str, times: u32, ours: impl Fn(), other: impl Fn()) {
    let time = |work: &dyn Fn(), rounds: u32| {
        let begun = Instant::now();
        (0..rounds).for_each(|_| work());
        begun.elapsed()
    };
    let best = |work: &dyn Fn(), rounds| (0..3).map(|_| time(work, rounds)).min().unwrap_or_default();
    // Enough of it for the clock.
    let rounds = (2_000_000 / (best(&other, 1).as_nanos() + 1)) as u32 + 1;
    // Somebody else may have the processor for a while, but not each time.
    let dear = |_| {
        let (ours, other) = (best(&ours, rounds), best(&other, rounds));
        (ours > other * times + PER_MESSAGE * rounds).then_some((ours, other))
    };
    let dear: Vec<_> = (0..5).map_while(dear).collect();
    assert!(dear.len() < 5, "{name}: {rounds} times, ours and the other took {dear:?}");
}

/// Bytes, quotes and depth: the least that a reader of JSON has to do.
fn plain_scan(json: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    (depth, deepest)
}

#[track_caller]
fn refused(name: &str, message: Vec<u8>, kind: ErrorKind) {
    let error = bomb(name, message).unwrap_err();
    assert_eq!(error.kind(), kind, "{name}: {error}");
}

#[test]
fn nesting() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    refused("in a key that nobody knows", message(&format!("\"x\":{deep},"), ""), ErrorKind::Malformed);
    refused("in metadata", message(&format!("\"metadata\":{{\"k\":{deep}}},"), ""), ErrorKind::Malformed);
    let entry = format!("{{\"type\":\"dictionary\",\"transport\":\"direct\",\"data\":{deep}}}");
    refused("as inline JSON", message("", &entry), ErrorKind::Malformed);
    refused("as base64", message("", &direct("dictionary", deep.as_bytes())), ErrorKind::InvalidJson);
    refused("never closed", "[".repeat(1_000_000).into_bytes(), ErrorKind::Malformed);
    let objects = "{\"a\":".repeat(1_000_000);
    refused("objects", message("", &direct("dictionary", objects.as_bytes())), ErrorKind::InvalidJson);
}

#[test]
fn a_million_payloads() {
    let entry = r#"{"type":"text","transport":"direct","data":""}"#;
    for entry in ["{}", "1", entry] {
        let many = vec![entry; 1_000_000].join(",");
        refused("payloads", message("", &many), ErrorKind::LimitExceeded);
    }
    let most = vec![entry; Limits::default().payload_count].join(",");
    bomb("as many as are allowed", message("", &most)).unwrap();
}

#[test]
fn sizes_that_are_not_true() {
    for size in ["9223372036854775807", "1073741824", "4294967296", "1e18"] {
        let entry =
            format!(r#"{{"dataname":"d","type":"text","transport":"direct","size":{size},"data":"QUJD"}}"#);
        // A wrong size is reported and believed by nobody.
        bomb("a size", message("", &entry)).unwrap();
        let envelope = Envelope::decode(message("", &entry)).unwrap();
        let data = envelope.payload(0).unwrap().decode().unwrap();
        assert_eq!((data.bytes().len(), data.size_mismatch().is_some()), (3, true));
    }
    let entry =
        r#"{"dataname":"d","type":"text","transport":"direct","size":9223372036854775808,"data":"QUJD"}"#;
    refused("2^63", message("", entry), ErrorKind::InvalidPayload);
}

#[test]
fn base64_that_is_none_at_its_very_end() {
    let mut text = "QUJD".repeat(250_000);
    text.push('!');
    let entry = format!(r#"{{"type":"binary","transport":"direct","size":1073741824,"data":"{text}"}}"#);
    refused("base64", message("", &entry), ErrorKind::InvalidBase64);
    let escaped = "\\u0051".repeat(170_000) + "!";
    let entry = format!(r#"{{"type":"binary","transport":"direct","data":"{escaped}"}}"#);
    refused("escaped base64", message("", &entry), ErrorKind::InvalidBase64);
}

#[test]
fn metadata_and_names() {
    let keys: String = (0..1_000_000).map(|n| format!("\"{n}\":0,")).collect();
    let metadata = format!("{{{}}}", keys.trim_end_matches(','));
    refused("10^6 keys", message(&format!("\"metadata\":{metadata},"), ""), ErrorKind::LimitExceeded);
    let entry = format!(r#"{{"type":"text","transport":"direct","data":"","metadata":{metadata}}}"#);
    refused("in a payload", message("", &entry), ErrorKind::LimitExceeded);
    let most = &metadata[..Limits::default().metadata_len - 20];
    let most = &most[..most.rfind(',').unwrap()];
    bomb("as much as is allowed", message(&format!("\"metadata\":{most}}},"), "")).unwrap();

    let list = vec!["0"; 500_000].join(",");
    let entry =
        format!(r#"{{"type":"text","transport":"direct","data":"","metadata":{{"sha256":[{list}]}}}}"#);
    bomb_within("a list for a digest", message("", &entry), DENSE).unwrap();

    for (how, name) in [("", "n".repeat(10_000_000)), (" in escapes", "\\n".repeat(10_000_000))] {
        let refused =
            |what: &str, message| refused(&format!("{what}{how}"), message, ErrorKind::LimitExceeded);
        refused("a name", message(&format!("\"senderName\":\"{name}\","), ""));
        for (what, others) in [
            ("id", r#""type":"text""#),
            ("dataname", r#""type":"text""#),
            ("encoding", r#""type":"text""#),
            ("type", r#""id":"""#),
        ] {
            let entry = format!(r#"{{"{what}":"{name}",{others},"transport":"direct","data":""}}"#);
            refused(what, message("", &entry));
        }
        bomb(&format!("a key that nobody knows{how}"), message(&format!("\"{name}\":1,"), "")).unwrap();
    }
    refused("a key twice", message("\"msgId\":\"\",\"msgId\":\"\",", ""), ErrorKind::Malformed);
    let repeated = "\"x\":1,".repeat(100_000);
    bomb_within("an unknown key by the thousand", message(&repeated, ""), DENSE).unwrap();
}

/// Dense JSON, of a value in a few bytes, costs more than others, whoever reads it. As text: up to [`DENSE`] plain scans. As
/// values: up to 200 bytes for each beyond the text, and ten times what serde_json takes for it.
#[track_caller]
fn value_bomb(name: &str, json: &str, values: u64) {
    let limits = Limits::default().json_values(values);
    let (data, message) = (dictionary(json, limits), message("", &direct("dictionary", json.as_bytes())));
    let taken =
        measure(|| drop(Envelope::decode(message.clone()).unwrap().payload(0).unwrap().decode())).bytes_max;
    assert!(taken <= MOST + (json.len() + message.len()) as u64, "{name}: {taken} bytes until it is read");
    let taken = measure(|| drop(black_box(data.json_value().unwrap()))).bytes_max;
    assert!(taken <= MOST + json.len() as u64 + values * 200, "{name}: {taken} bytes for {values} values");
    cheap(name, DENSE, || _ = black_box(data.json_text()), || _ = black_box(plain_scan(json.as_bytes())));
    let theirs = || drop(black_box(serde_json::from_str::<serde_json::Value>(json)));
    cheap(&format!("{name} as a value"), 10, || drop(black_box(data.json_value())), theirs);
}

#[test]
fn metadata_that_is_copied() {
    let keys: Vec<_> = (0..40_000).map(|key| format!("\"{key}\":1")).collect();
    let json = format!("{{{}}}", keys.join(","));
    let theirs = || drop(black_box(serde_json::from_str::<serde_json::Value>(&json)));
    cheap("metadata", 10, || drop(black_box(Metadata::from_json(&json))), theirs);
    let twice = Metadata::from_json(r#"{"b":1,"a":2,"\u0062":3}"#).unwrap();
    assert_eq!(twice.to_json(), r#"{"b":3,"a":2}"#);
}

#[test]
fn keys_that_repeat_or_collide() {
    let value = |json: &str| dictionary(json, Limits::default()).json_value().unwrap();
    let repeated = format!("{{{}\"a\":7}}", "\"a\":1,".repeat(100_000));
    assert_eq!(value(&repeated), serde_json::json!({"a":7}));
    value_bomb("a key that repeats", &repeated, 100_002);
    // Strings that collide under multiplicative hashes of one kind or another: sums, 31s and 33s.
    let pairs = ["Aa", "BB", "C#"];
    let keys: Vec<String> = (0..3usize.pow(9))
        .map(|mut n| {
            let digit = |_| {
                let pair = pairs[n % 3];
                n /= 3;
                pair
            };
            (0..9).map(digit).collect()
        })
        .collect();
    let flood: String = keys.iter().map(|key| format!("\"{key}\":1,")).collect();
    let once = format!("{{{}}}", flood.trim_end_matches(','));
    let twice = format!("{{{flood}{}}}", flood.trim_end_matches(','));
    for (name, json, values) in [("keys that collide", once, 1), ("the same twice", twice, 2)] {
        assert_eq!(value(&json), serde_json::from_str::<serde_json::Value>(&json).unwrap());
        value_bomb(name, &json, values * keys.len() as u64 + 1);
    }
}

#[test]
fn numbers_that_are_dear_to_parse() {
    let largest = "17976931348623158079";
    for (name, number) in [
        ("an exponent", "1e5".to_owned()),
        ("20 digits", "12345678901234567891e-300".to_owned()),
        ("between two floats", "9007199254740993.00000000000000000000000001".to_owned()),
        ("half of the smallest", "2.4703282292062327208e-324".to_owned()),
        ("small and long", "1.00000000000000011102230246251565404236316680908203125e-300".to_owned()),
        ("a long tail", format!("9007199254740993.{}1", "0".repeat(760))),
        ("the largest", format!("{largest}{}e-1", "0".repeat(290))),
        ("digits without end", "7".repeat(300)),
        ("an integer between two floats", "143478101096192860160".to_owned()),
        ("one of 20 digits", "20774977780036945920".to_owned()),
    ] {
        let json = format!("[{}]", vec![number; 200].join(","));
        value_bomb(name, &json, 201);
    }
}

mod tables {
    use std::sync::Arc;

    use arrow_array::builder::StringViewBuilder;
    use arrow_array::types::Int8Type;
    use arrow_array::{ArrayRef, DictionaryArray, Int8Array, Int64Array, RecordBatch, StructArray};
    use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
    use arrow_ipc::{CompressionType, root_as_message};
    use arrow_schema::{DataType, Field, Schema};
    use twox_hash::XxHash32;

    use super::*;

    fn zeros(len: usize, compression: Option<CompressionType>) -> Vec<u8> {
        let zeros = Arc::new(Int64Array::from(vec![0; len])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("zeros", zeros)]).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut writer = StreamWriter::try_new_with_options(vec![], &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    /// Replaces the one place where `data` holds `old`, in 64 bits.
    fn claim(mut data: Vec<u8>, old: i64, new: i64) -> Vec<u8> {
        let places: Vec<usize> =
            (0..data.len() - 8).filter(|&at| data[at..at + 8] == old.to_le_bytes()).collect();
        assert!(!places.is_empty());
        for at in places {
            data[at..at + 8].copy_from_slice(&new.to_le_bytes());
        }
        data
    }

    fn read(data: Vec<u8>, limits: Limits) -> (natsbridge::Result<usize>, u64) {
        let data = PayloadData::new(PayloadType::Table, data, None, 0).limited(limits);
        let mut result = Ok(0);
        let taken = measure(|| result = data.record_batches().map(|batches| batches.len())).bytes_max;
        (result, taken)
    }

    #[test]
    fn a_buffer_that_claims_a_hundred_gigabytes_in_16_kilobytes() {
        let honest = zeros(2000, None);
        assert!(honest.len() < 17 << 10, "{}", honest.len());
        let lies = claim(honest, 16_000, 100 << 30);
        refused("100 GiB", message("", &direct("table", &lies)), ErrorKind::InvalidTable);
        for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
            let lies = claim(zeros(2000, Some(compression)), 16_000, 100 << 30);
            refused("100 GiB compressed", message("", &direct("table", &lies)), ErrorKind::InvalidTable);
        }
    }

    #[test]
    fn an_lz4_and_a_zstd_bomb() {
        for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
            let bomb = zeros(16 << 20, Some(compression)); // 128 MiB of zeros
            assert!(bomb.len() < 1 << 20, "{}", bomb.len());
            // The batch eight times is more than 1 GiB, for the rows count as well.
            let word = |at: usize| u32::from_le_bytes(bomb[at..at + 4].try_into().unwrap()) as usize;
            let (schema, batch) = bomb.split_at(8 + word(4));
            let (batch, end) = batch.split_at(batch.len() - 8);
            let more = [schema, &batch.repeat(8), end].concat();
            refused("more than 1 GiB", message("", &direct("table", &more)), ErrorKind::LimitExceeded);
            let (result, taken) = read(bomb.clone(), Limits::default().table_len(64 << 20));
            assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitExceeded);
            assert!(taken < 1 << 20, "{taken}");
            // Within the limit it is a table like any other.
            assert_eq!(read(bomb, Limits::default()).0.unwrap(), 1);
        }
    }

    #[test]
    fn a_claim_that_a_codec_could_keep_is_not_trusted() {
        // Where the first block is, behind the claim and the frame's header.
        for (compression, block) in [(CompressionType::LZ4_FRAME, 20..40), (CompressionType::ZSTD, 17..20)] {
            let mut bomb = zeros(16 << 20, Some(compression)); // 128 MiB of zeros
            let len = bomb.len() as u64;
            let at =
                (0..len as usize).find(|&at| bomb[at..].starts_with(&(128_i64 << 20).to_le_bytes())).unwrap();
            bomb[at + block.start..at + block.end].fill(0xFF);
            let (result, taken) = read(bomb, Limits::default());
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidTable, "{compression:?}");
            assert!(taken <= MOST, "{compression:?}: {taken} bytes for {len}");
        }
    }

    #[test]
    fn many_small_zstd_batches() {
        let payload = |compression| {
            let stream = zeros(10, Some(compression));
            let word = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
            let (schema, batch) = stream.split_at(8 + word(4));
            let (batch, end) = batch.split_at(batch.len() - 8);
            let many = [schema, &batch.repeat(2000), end].concat();
            PayloadData::new(PayloadType::Table, many, None, 0)
        };
        let [zstd, lz4] = [CompressionType::ZSTD, CompressionType::LZ4_FRAME].map(payload);
        assert_eq!(zstd.record_batches().unwrap().len(), 2000);
        // Its context is not made anew for each.
        let read = |data: &PayloadData| drop(black_box(data.record_batches()));
        cheap("small batches", 3, || read(&zstd), || read(&lz4));
    }

    #[test]
    fn buffers_that_share_their_bytes() {
        for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            let column = || Arc::new(Int64Array::from(vec![0; 2000])) as ArrayRef;
            let batch = RecordBatch::try_from_iter([("a", column()), ("b", column())]).unwrap();
            let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
            let mut writer = StreamWriter::try_new_with_options(vec![], &batch.schema(), options).unwrap();
            writer.write(&batch).unwrap();
            let mut stream = writer.into_inner().unwrap();
            assert_eq!(read(stream.clone(), Limits::default()).0.unwrap(), 1);

            // The record batch comes second; its last buffer holds the values of the last column.
            let word = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
            let header = 8 + word(4) + 8;
            let message = root_as_message(&stream[header..header + word(header - 4)]).unwrap();
            let last = message.header_as_record_batch().unwrap().buffers().unwrap().get(3);
            let at = std::ptr::from_ref(last).cast::<u8>() as usize - stream.as_ptr() as usize;
            // All of the body, as each of a thousand columns might.
            let [from, len] = [0, message.bodyLength()].map(i64::to_le_bytes);
            stream[at..at + 16].copy_from_slice(&[from, len].concat());
            let (result, taken) = read(stream, Limits::default());
            assert_eq!(result.unwrap_err().explanation(), "the buffers of a batch overlap");
            assert!(taken < 64 << 10, "{taken}");
        }
    }

    #[test]
    fn columns_that_nest() {
        // The decoder validates a column as often as it is part of another: six million times in 5 MB.
        let columns: Vec<_> = (0..10_000).map(|n| Field::new(n.to_string(), DataType::Int32, true)).collect();
        let pairs = Field::new("p", DataType::Struct(columns.into()), true);
        let nested = (0..62).fold(pairs, |field, _| Field::new("l", DataType::List(Arc::new(field)), true));
        let schema = Arc::new(Schema::new(vec![nested]));
        let batch = RecordBatch::new_empty(Arc::clone(&schema));
        let stream = natsbridge::payload::table::encode(&schema, &vec![batch; 10]).unwrap().concat();
        refused("columns", message("", &direct("table", &stream)), ErrorKind::LimitExceeded);
    }

    #[test]
    fn a_wide_dictionary_for_many_batches() {
        // The decoder takes the dictionary apart for each of them: twenty million columns in 1 MB.
        let one = Arc::new(Int64Array::from(vec![1])) as ArrayRef;
        let columns =
            (0..8000).map(|n| (Arc::new(Field::new(n.to_string(), DataType::Int64, true)), Arc::clone(&one)));
        let values = Arc::new(StructArray::from(columns.collect::<Vec<_>>()));
        let rows = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![0]), values);
        let batch = RecordBatch::try_from_iter([("d", Arc::new(rows) as ArrayRef)]).unwrap();
        let written = |count: usize| {
            let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
            (0..count).for_each(|_| writer.write(&batch).unwrap());
            writer.into_inner().unwrap()
        };
        let (one, two) = (written(1), written(2));
        let (all, end) = one.split_at(one.len() - 8);
        let batch = &all[all.len() - (two.len() - one.len())..];
        let many = [all, &batch.repeat(2500), end].concat();
        assert!(many.len() < 2 << 20, "{}", many.len());
        let table = direct("table", &many);
        refused("dictionary", message("", &table), ErrorKind::LimitExceeded);
    }

    #[test]
    fn views_that_share_their_text() {
        // 24,000 times 390,000 bytes to validate, in a message of 1 MiB.
        let mut views = StringViewBuilder::new().with_deduplicate_strings();
        let text = "é".repeat(195_000);
        (0..24_000).for_each(|_| views.append_value(&text));
        let batch = RecordBatch::try_from_iter([("text", Arc::new(views.finish()) as ArrayRef)]).unwrap();
        let message = |compression| {
            let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
            let mut writer = StreamWriter::try_new_with_options(vec![], &batch.schema(), options).unwrap();
            writer.write(&batch).unwrap();
            message("", &direct("table", &writer.into_inner().unwrap()))
        };
        let plain = message(None);
        refused("views", plain.clone(), ErrorKind::LimitExceeded);
        for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
            // The views have to be unpacked before they are seen: ten scans of what is unpacked.
            let packed = message(Some(compression));
            let read = || consume(packed.clone()).unwrap_err().kind();
            let taken = measure(|| assert_eq!(read(), ErrorKind::LimitExceeded)).bytes_max;
            assert!(taken <= MOST, "{taken}");
            cheap("packed views", 10, || _ = black_box(read()), || _ = black_box(plain_scan(&plain)));
        }
    }

    #[test]
    fn an_lz4_frame_may_declare_large_blocks() {
        let honest = zeros(2000, Some(CompressionType::LZ4_FRAME));
        let magic = 0x184D_2204_u32.to_le_bytes();
        let at = honest.windows(4).position(|four| four == magic).unwrap();
        for (flags, sizes, what) in [(0x60, 0x70, "independent blocks"), (0x40, 0x70, "linked blocks")] {
            let mut frame = honest.clone();
            frame[at + 4..at + 6].copy_from_slice(&[flags, sizes]);
            frame[at + 6] = (XxHash32::oneshot(0, &frame[at + 4..at + 6]) >> 8) as u8;
            let (result, taken) = read(frame, Limits::default());
            assert_eq!(result.unwrap(), 1, "{what}");
            assert!(taken < 64 << 10, "{what} of 4 MiB: {taken}");
        }
        // Blocks of 8 MiB, without a header: Arrow knows no such frames.
        let mut old = honest;
        old[at..at + 4].copy_from_slice(&0x184C_2102_u32.to_le_bytes());
        let (result, taken) = read(old, Limits::default());
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidTable);
        assert!(taken < 64 << 10, "{taken}");
    }

    #[test]
    fn a_frame_that_unpacks_into_more_than_it_says() {
        for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
            let bomb = claim(zeros(1 << 20, Some(compression)), 8 << 20, 64);
            let (result, taken) = read(bomb, Limits::default());
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidTable, "{compression:?}");
            assert!(taken <= MOST, "{taken}");
        }
    }
}
