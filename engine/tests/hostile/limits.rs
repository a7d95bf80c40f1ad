//! Every limit on both sides of its bound: what just meets it is read, one more is refused.

use std::sync::Arc;

use allocation_counter::measure;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, ListArray, NullArray, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, Schema};
use natsbridge::payload::table::{decode, encode};
use natsbridge::{Envelope, ErrorKind, Limits, MAX_DEPTH, Result};

use super::{dictionary, direct, message, read};

/// Refused for being above a limit, by one, whose value the error gives.
#[track_caller]
fn exceeded<T>(result: Result<T>, limit: u64) {
    let Err(error) = result else { panic!("accepted above the limit of {limit}") };
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert_eq!((error.needed(), error.limit()), (Some(limit + 1), Some(limit)), "{error}");
}

#[test]
fn message_len() {
    let message = message("", "");
    let limits = |len| Limits::default().message_len(len);
    read(&message, &limits(message.len())).unwrap();
    exceeded(read(&message, &limits(message.len() - 1)), message.len() as u64 - 1);
}

#[test]
fn payload_count() {
    let entry = direct("text", b"x");
    let message = message("", &vec![entry; 3].join(","));
    assert_eq!(read(&message, &Limits::default().payload_count(3)).unwrap().payload_count(), 3);
    exceeded(read(&message, &Limits::default().payload_count(2)), 2);
    exceeded(read(&message, &Limits::default().payload_count(0)).map(drop).or_else(at_least(1)), 0);
}

/// The first payload too many ends the reading, so the rest is not counted.
fn at_least(count: u64) -> impl Fn(natsbridge::Error) -> Result<()> {
    move |error| {
        assert_eq!(error.needed(), Some(count));
        Err(error)
    }
}

#[test]
fn name_len() {
    let limits = Limits::default().name_len(50);
    let names = ["senderName", "msgId", "brokerURL", "sender_name", "reply_to_msg_id"];
    for key in names {
        let field = |len: usize| message(&format!("\"{key}\":\"{}\",", "n".repeat(len)), "");
        read(&field(50), &limits).unwrap();
        exceeded(read(&field(51), &limits), 50);
    }
    // Escapes count as what they mean.
    let escaped = |count: usize| message(&format!("\"senderName\":\"{}\",", "\\u00e9".repeat(count)), "");
    read(&escaped(25), &limits).unwrap();
    assert_eq!(read(&escaped(26), &limits).unwrap_err().needed(), Some(52));
    for key in ["id", "dataname", "type", "encoding"] {
        let payload = |len: usize| {
            let value = "n".repeat(len);
            message("", &format!("{{\"transport\":\"direct\",\"data\":\"\",\"{key}\":\"{value}\"}}"))
        };
        read(&payload(50), &limits).unwrap();
        let error = read(&payload(51), &limits).unwrap_err();
        assert_eq!((error.payload(), error.needed()), (Some(0), Some(51)), "{key}");
    }
    // Keys that nobody knows are no names, and neither is data.
    let other = format!("\"{}\":\"{}\",", "k".repeat(100), "v".repeat(100));
    read(&message(&other, &direct("text", &[b'x'; 100])), &limits).unwrap();
}

#[test]
fn metadata_len() {
    let limits = Limits::default().metadata_len(40);
    let metadata = |len: usize| format!("\"metadata\":{{\"k\":\"{}\"}}", "v".repeat(len - 8));
    assert_eq!(metadata(40).len(), "\"metadata\":".len() + 40);
    read(&message(&format!("{},", metadata(40)), ""), &limits).unwrap();
    exceeded(read(&message(&format!("{},", metadata(41)), ""), &limits), 40);
    let payload =
        |len| format!("{{\"type\":\"text\",\"transport\":\"direct\",\"data\":\"\",{}}}", metadata(len));
    read(&message("", &payload(40)), &limits).unwrap();
    exceeded(read(&message("", &payload(41)), &limits), 40);
}

#[test]
fn payload_len() {
    let limits = Limits::default().payload_len(100);
    for (len, accepted) in [(0, true), (99, true), (100, true), (101, false), (102, false), (5000, false)] {
        let both = [direct("binary", &vec![7; len]), direct("text", b"still there")].join(",");
        let envelope = read(&message("", &both), &limits).unwrap();
        let [first, second] = [0, 1].map(|index| envelope.payload(index).unwrap());
        match first.decode() {
            Ok(data) => assert!(accepted && data.bytes().len() == len),
            Err(error) => {
                assert!(!accepted && error.kind() == ErrorKind::LimitExceeded, "{len}: {error}");
                assert_eq!((error.payload(), error.fault()), (Some(0), natsbridge::Fault::Sender));
            }
        }
        assert_eq!(second.decode().unwrap().text().unwrap(), "still there");
    }
    // What counts is the text that the string stands for, and of JSON in a string all of it.
    let payload = |kind: &str, data: &str| {
        format!(r#"{{"dataname":"d","type":"{kind}","transport":"direct","data":"{data}"}}"#)
    };
    let slashes = |count: usize| "\\/".repeat(count);
    let json = |len: usize| {
        format!("[{}1]{}", "1,".repeat((len - 3) / 2), if len.is_multiple_of(2) { " " } else { "" })
    };
    for (kind, data, accepted) in [
        ("binary", slashes(132), true),
        ("binary", slashes(133) + "w\\u003d=", true), // 100 bytes
        ("binary", slashes(133) + "w==\\r\\n", true),
        ("binary", slashes(133) + "w\\u003d=\\r\\n", true),
        ("binary", slashes(133) + "w\\r\\n", true),
        ("binary", slashes(133) + "w\\u003d=\\n", true),
        ("binary", slashes(134) + "8=", false),
        ("binary", slashes(4000), false),
        ("binary", "\\u0041".repeat(132), true),
        ("binary", "\\u0041".repeat(136), false),
        ("dictionary", json(99), true),
        ("dictionary", json(100), true),
        ("dictionary", json(101), false),
        ("dictionary", "\\n".repeat(60) + &json(40), true),
        ("dictionary", "\\n".repeat(61) + &json(40), false),
    ] {
        let message = message("", &payload(kind, &data));
        let mut out = Vec::new();
        let ways = [read(&message, &limits), Envelope::decode_into_vec(message.clone(), &limits, &mut out)];
        for envelope in ways {
            match envelope.unwrap().payload(0).unwrap().decode() {
                Ok(decoded) => assert!(accepted && decoded.bytes().len() <= 100, "{data}"),
                Err(error) => {
                    assert!(!accepted && error.kind() == ErrorKind::LimitExceeded, "{data}: {error}")
                }
            }
        }
    }
    // Nothing is decoded of what is too long, wherever its size stands.
    let long = direct("binary", &vec![7; 300_000]);
    let late =
        long.replacen(r#""size":300000,"#, "", 1).trim_end_matches('}').to_owned() + r#","size":300000}"#;
    for payload in [long, late] {
        let message = message("", &payload);
        let limits = Limits::default().payload_len(299_999);
        let mut out = Vec::new();
        let taken = measure(|| {
            let envelope = Envelope::decode_into_vec(message.clone(), &limits, &mut out).unwrap();
            assert_eq!(envelope.payload(0).unwrap().decode().unwrap_err().kind(), ErrorKind::LimitExceeded);
        });
        assert!(out.is_empty() && taken.bytes_max < 4096 + message.len() as u64, "{taken:?}");
    }
    // A link holds a URL, whose length has nothing to do with it.
    let link = format!(
        r#"{{"dataname":"d","type":"binary","transport":"link","data":"http://h/{}"}}"#,
        "p".repeat(200)
    );
    assert!(read(&message("", &link), &limits).unwrap().payload(0).unwrap().url().is_some());
}

#[test]
fn json_len() {
    let json = "{\"a\":[1,2,3]}";
    let limits = |len: usize| Limits::default().json_len(len as u64);
    dictionary(json, limits(json.len())).json_value().unwrap();
    let short = dictionary(json, limits(json.len() - 1));
    exceeded(short.json_value(), json.len() as u64 - 1);
    exceeded(short.json_text(), json.len() as u64 - 1);
    assert_eq!(short.bytes().len(), json.len(), "the bytes can still be had");
}

#[test]
fn json_values() {
    for (json, values) in [
        ("1", 1),
        ("[]", 1),
        ("{ }", 1),
        ("[[]]", 2),
        ("[ \n]", 1),
        ("[1,2,[3,{}]]", 6),
        (r#"{"a,[{":"b,\"[,","c":{"d":[null,true]}}"#, 6),
        (r#"[{"":0},{"":0}]"#, 5),
    ] {
        let limits = |count: u64| Limits::default().json_values(count);
        dictionary(json, limits(values)).json_value().unwrap();
        exceeded(dictionary(json, limits(values - 1)).json_value(), values - 1);
    }
    let limits = Limits::default();
    let many = format!("[{}]", vec![r#"{"":0}"#; 1 << 20].join(","));
    exceeded(dictionary(&many, limits).json_value(), limits.json_values);
}

/// What the documentation gives as the most that a value can cost, and with it all of them.
#[test]
fn a_json_value_takes_at_most_750_bytes() {
    let chain = |len: usize| format!("{}0{}", r#"{"":"#.repeat(len), "}".repeat(len));
    for (what, item, values) in [
        ("numbers", "0".to_owned(), 1),
        ("objects of one key", r#"{"":0}"#.to_owned(), 2),
        ("objects inside each other", chain(126), 127),
        ("the same with a key twice", format!(r#"{{"a":0,"a":{}}}"#, chain(125)), 127),
    ] {
        let count = 100_000 / values;
        let json = format!("[{}]", vec![item; count].join(","));
        let taken = measure(|| drop(dictionary(&json, Limits::default()).json_value().unwrap())).bytes_max;
        let each = taken / (count * values) as u64;
        assert!(each <= 750, "{what}: {each} bytes for a value");
    }
}

/// Metadata is read without `json_values`: what `metadata_len` says of that.
#[test]
fn metadata_read_as_a_value_takes_at_most_150_times_its_text() {
    let chain = format!("{}0{}", r#"{"":"#.repeat(122), "}".repeat(122));
    let metadata = format!(r#"{{"k":[{}]}}"#, vec![chain; 100].join(","));
    let envelope = Envelope::decode(message(&format!("\"metadata\":{metadata},"), "")).unwrap();
    let get = || drop(envelope.metadata().get::<serde_json::Value>("k").unwrap());
    let all = || drop(envelope.metadata().to_value::<serde_json::Value>().unwrap());
    for taken in [measure(get), measure(all)] {
        let each = taken.bytes_max / metadata.len() as u64;
        assert!(each < 150, "{each} bytes for a byte");
    }
}

/// Text without values to speak of: what `json_len` says of that.
#[test]
fn reading_json_takes_at_most_5_times_its_text_beside_its_values() {
    let long = 1 << 20;
    for json in [
        format!("\"{}\"", "x".repeat(long)),
        format!("\"{}\"", "\\n".repeat(long / 2)),
        format!("[{}]", " ".repeat(long)),
        format!("0.{}", "1".repeat(long)),
    ] {
        let taken = measure(|| drop(dictionary(&json, Limits::default()).json_value().unwrap())).bytes_max;
        assert!(taken <= 5 * json.len() as u64, "{taken} bytes for {:?}", &json[..4]);
    }
}

#[test]
fn a_message_read_under_limits_hands_them_to_its_payloads() {
    let deep = direct("dictionary", b"[[[1,2]]]");
    let stream = encode(&batch(vec![("n", numbers(8))]).schema(), &[batch(vec![("n", numbers(8))])]).unwrap();
    let rows = direct("table", &stream.concat());
    let message = message("", &[deep, rows].join(","));
    for (limits, limit) in [
        (Limits::default().json_len(8), 8),
        (Limits::default().json_depth(2), 2),
        (Limits::default().json_values(4), 4),
    ] {
        let payload = read(&message, &limits).unwrap().payload(0).unwrap().decode().unwrap();
        exceeded(payload.json_value(), limit);
    }
    for limits in [
        Limits::default().table_len(10),
        Limits::default().table_rows(7),
        Limits::default().table_columns(0),
        Limits::default().table_buffers(0),
    ] {
        let payload = read(&message, &limits).unwrap().payload(1).unwrap().decode().unwrap();
        assert_eq!(payload.record_batches().unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
}

#[test]
fn json_depth() {
    for depth in [0, 1, 2, 50, MAX_DEPTH - 1] {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let limits = Limits::default().json_depth(depth);
        dictionary(&nested(depth), limits).json_value().unwrap();
        exceeded(dictionary(&nested(depth + 1), limits).json_value(), depth as u64);
    }
    // No setting allows more than the format.
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    let error = dictionary(&deep, Limits::default().json_depth(1000)).json_value().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidJson);
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn numbers(len: i32) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(0..len))
}

fn table(batches: &[RecordBatch], limits: Limits) -> Result<natsbridge::payload::table::Table> {
    let stream = encode(&batches[0].schema(), batches).unwrap().concat();
    decode(&stream.into(), &limits)
}

#[test]
fn table_len() {
    let one = [batch(vec![("n", numbers(1000))])];
    let needed = (1..).find(|&len| table(&one, Limits::default().table_len(len)).is_ok()).unwrap();
    // The values, and a bit for each row; the last buffer is what does not fit any more.
    assert_eq!(needed, 4000 + 125);
    exceeded(table(&one, Limits::default().table_len(needed - 1)), needed - 1);
}

#[test]
fn table_rows() {
    let nulls = |len: usize| batch(vec![("n", Arc::new(NullArray::new(len)) as _)]);
    for batches in [vec![nulls(10)], vec![nulls(4), nulls(6)], vec![batch(vec![("n", numbers(10))])]] {
        assert_eq!(table(&batches, Limits::default().table_rows(10)).unwrap().row_count(), 10);
        exceeded(table(&batches, Limits::default().table_rows(9)), 9);
    }
    let many = [nulls(i32::MAX as usize), nulls(1)];
    assert_eq!(table(&many[..1], Limits::default()).unwrap().row_count(), i32::MAX as u64);
    exceeded(table(&many, Limits::default()), i32::MAX as u64);
}

#[test]
fn table_columns() {
    let inner = Arc::new(Field::new("inner", DataType::Int32, true));
    let nested = Arc::new(StructArray::from(vec![(inner, numbers(2))])) as ArrayRef;
    let three = [batch(vec![("a", numbers(2)), ("b", nested)])];
    table(&three, Limits::default().table_columns(3)).unwrap();
    exceeded(table(&three, Limits::default().table_columns(2)), 2);
    // Without a batch, too.
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true); 4]));
    let stream = bytes::Bytes::from(encode(&schema, &[]).unwrap().concat());
    decode(&stream, &Limits::default().table_columns(4)).unwrap();
    exceeded(decode(&stream, &Limits::default().table_columns(3)), 3);
}

#[test]
fn table_buffers() {
    // A column of numbers is itself and two buffers, of validity and of values.
    let two = vec![batch(vec![("a", numbers(2)), ("b", numbers(2))]); 3];
    assert_eq!(table(&two, Limits::default().table_buffers(18)).unwrap().batches().len(), 3);
    exceeded(table(&two, Limits::default().table_buffers(17)), 17);
    // One that is part of another counts twice.
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let lists = vec![batch(vec![("list", Arc::new(lists) as _)]); 3];
    assert_eq!(table(&lists, Limits::default().table_buffers(21)).unwrap().batches().len(), 3);
    exceeded(table(&lists, Limits::default().table_buffers(20)), 20);
    assert_eq!(two[0].column(0).len(), 2);
}
