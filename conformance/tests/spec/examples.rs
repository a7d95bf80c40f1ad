//! Every example and every table of numbers in SPEC.md, executed.

use std::time::Duration;

use natsbridge::link::Retry;
use natsbridge::{
    Data, Dialect, Envelope, ErrorKind, MessageFields, PayloadFields, Verification, encode, encoded_len,
};
use natsbridge_conformance::{rewritten, sha256};

use crate::document::{block, clauses, code, number, table};
use crate::reading::open;

fn decode(message: &str) -> Result<Envelope, natsbridge::Error> {
    Envelope::decode(message.as_bytes().to_vec())
}

#[test]
fn worked_examples_are_exact_and_written_again_byte_for_byte() {
    for (name, dialect) in [("camel", Dialect::Camel), ("snake", Dialect::Snake)] {
        let (comment, lines) = block(&format!("example {name}"));
        let [message] = &lines[..] else { panic!("{name}: one line, not {}", lines.len()) };
        let expected = format!("bytes={} sha256={} -->", message.len(), sha256(message.as_bytes()));
        assert!(comment.ends_with(&expected), "{comment} but {expected}");
        let envelope = decode(message).unwrap();
        assert_eq!(envelope.dialect(), dialect);
        assert_eq!(rewritten(&envelope).unwrap(), message.as_bytes(), "{name}");
        assert!(envelope.payloads().all(|payload| payload.defect().is_none()));
    }
    let envelope = decode(&block("example camel").1[0]).unwrap();
    let text = envelope.payload(0).unwrap().decode().unwrap();
    assert_eq!((text.text().unwrap(), text.bytes().len()), ("Grüße, \"NATS\" 👋", 20));
    let link = envelope.payload(1).unwrap();
    assert_eq!(link.metadata().get("sha256"), Some(sha256(&[0; 1_200_000])));
    let url = "http://localhost:8080/file/u5Qm2XkR9dTzW1aB/f7LcP0sYvNe3HgJq/user_image";
    assert_eq!((link.url().as_deref(), link.size()), (Some(url), Some(1_200_000)));

    let envelope = decode(&block("example snake").1[0]).unwrap();
    let [dictionary, rows] = [0, 1].map(|index| envelope.payload(index).unwrap().decode().unwrap());
    assert_eq!(
        (dictionary.json_text().unwrap(), dictionary.bytes().len()),
        (r#"{"action":"read_sensor","pins":[4,7]}"#, 37)
    );
    assert_eq!(
        (rows.json_text().unwrap(), rows.bytes().len()),
        (r#"[{"id":1,"score":95.5},{"id":2,"score":null}]"#, 45)
    );

    let envelope = decode(&block("example lenient").1[0]).unwrap();
    let hello = envelope.payload(0).unwrap().decode().unwrap();
    assert_eq!((envelope.dialect(), hello.text().unwrap()), (Dialect::Camel, "Hello World!"));
    assert_eq!((hello.size_mismatch(), hello.verification()), (Some(256), Verification::Inline));
}

#[test]
fn refused_messages_are_refused_with_an_offset() {
    let messages = clauses("refused messages");
    assert!(messages.len() >= 14, "{}", messages.len());
    for (clause, message) in messages {
        let error = decode(&message).expect_err(&message);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{clause} {message}");
        assert!(error.offset().unwrap() <= message.len() as u64, "{clause} {message}: {error}");
    }
}

#[test]
fn refused_payloads_fail_alone() {
    let payloads = clauses("refused payloads");
    assert!(payloads.len() >= 18, "{}", payloads.len());
    for (clause, message) in payloads {
        // Another payload on either side.
        let list = message.strip_prefix(r#"{"payloads":["#).unwrap().strip_suffix("]}").unwrap();
        let good = r#"{"type":"text","transport":"direct","data":"b2s="}"#;
        for (message, at, count) in
            [(message.clone(), 0, 1), (format!(r#"{{"payloads":[{good},{list},{good}]}}"#), 1, 3)]
        {
            let envelope = decode(&message).unwrap_or_else(|error| panic!("{message}: {error}"));
            assert_eq!(envelope.payload_count(), count);
            for (index, view) in envelope.payloads().enumerate() {
                let opened =
                    open(&view).unwrap_or_else(|| panic!("{clause} {message}: a link that would be fetched"));
                let read = opened.value.map(|value| value.map(|(_, value)| value));
                if index != at {
                    assert_eq!(read.unwrap(), Some("ok".into()), "{message}");
                    continue;
                }
                let error = read.err().unwrap_or_else(|| panic!("{clause} {message} is readable"));
                // A URL is judged when it is to be fetched, by whoever asks for it.
                assert!(error.payload() == Some(at) || clause == "LINK-1", "{clause} {message}: {error}");
                if clause.starts_with("ENV-") {
                    assert!(error.offset().unwrap() < message.len() as u64, "{clause} {message}: {error}");
                }
            }
        }
    }
}

#[test]
fn the_base64_table_holds_and_errors_have_the_offset_in_the_message() {
    let mut count = 0;
    for row in table("| `data`, as a JSON string | result |") {
        let expected: Option<&[u8]> = match row[1].as_str() {
            "`ABC`" => Some(b"ABC"),
            "`A`" => Some(b"A"),
            "bytes fb ff" => Some(b"\xfb\xff"),
            "no bytes" => Some(b""),
            other => {
                assert!(other.starts_with("error"), "{other}");
                None
            }
        };
        for data in code(&row[0]) {
            count += 1;
            let message =
                format!(r#"{{"payloads":[{{"type":"binary","transport":"direct","data":{data}}}]}}"#);
            let read = decode(&message).unwrap().payload(0).unwrap().decode();
            match expected {
                Some(bytes) => assert_eq!(read.unwrap().bytes(), bytes, "{data}"),
                None => {
                    let error = read.expect_err(&data);
                    assert_eq!(error.kind(), ErrorKind::InvalidBase64, "{data}");
                    let start = message.find(&data).unwrap();
                    // From behind the opening quote to the closing one.
                    let inside = start + 1..=start + data.len() - 1;
                    assert!(inside.contains(&(error.offset().unwrap() as usize)), "{data}: {error}");
                }
            }
        }
    }
    assert!(count >= 28, "{count}");
    for row in table("| raw bytes | characters | note |") {
        for raw in row[0].split(',').collect::<Vec<_>>().join(",").split(", ") {
            let characters = natsbridge::base64::encoded_len(number(raw));
            assert_eq!(characters, number(&row[1]), "{raw} bytes");
        }
    }
}

#[test]
fn the_size_table_holds() {
    let mut count = 0;
    for row in table("| `size` in the text | reads as |") {
        for size in code(&row[0]) {
            count += 1;
            let message =
                format!(r#"{{"payloads":[{{"type":"text","transport":"direct","data":"","size":{size}}}]}}"#);
            let envelope = decode(&message).unwrap();
            let view = envelope.payload(0).unwrap();
            match row[1].as_str() {
                "itself" => assert_eq!(view.size().unwrap().to_string(), size),
                "missing" => assert_eq!((view.size(), view.defect().is_none()), (None, true)),
                "error for that payload" => {
                    let offset = view.defect().unwrap().offset();
                    assert_eq!(offset, message.find(&size).map(|at| at as u64), "{size}");
                }
                value => assert_eq!(view.size(), Some(value.parse().unwrap()), "{size}"),
            }
        }
    }
    assert!(count >= 10, "{count}");
    let missing = decode(r#"{"payloads":[{"type":"text","transport":"direct","data":""}]}"#).unwrap();
    assert_eq!(missing.payload(0).unwrap().size(), None);
}

/// `ENV-R2`: 128 pass and 129 fail, wherever they stand, and leaves add nothing.
#[test]
fn depth_counts_objects_and_arrays() {
    let nested = |depth: usize, leaf: &str| format!("{}{leaf}{}", "[".repeat(depth), "]".repeat(depth));
    for leaf in ["", "1", "\"[[\"", "null", "{}", "[]"] {
        let own = usize::from(leaf == "{}" || leaf == "[]");
        let message = |depth: usize| format!("{{\"x\":{},\"payloads\":[]}}", nested(depth, leaf));
        assert!(decode(&message(127 - own)).is_ok(), "{leaf}");
        let error = decode(&message(128 - own)).expect_err(leaf);
        assert_eq!(error.offset(), Some(5 + 127), "{leaf}");
        // Inline data begins at depth 4, a decoded payload at 1.
        let inline = |data: &str| {
            format!(r#"{{"payloads":[{{"type":"dictionary","transport":"direct","data":{data}}}]}}"#)
        };
        assert!(decode(&inline(&nested(125 - own, leaf))).is_ok(), "{leaf}");
        assert!(decode(&inline(&nested(126 - own, leaf))).is_err(), "{leaf}");
        for (depth, fits) in [(128 - own, true), (129 - own, false)] {
            let text = serde_json::Value::from(nested(depth, leaf)).to_string();
            let envelope = decode(&inline(&text)).unwrap();
            let data = envelope.payload(0).unwrap().decode().unwrap();
            assert_eq!(data.json_text().is_ok(), fits, "{leaf} {depth}");
        }
    }
}

/// `PLAN-3`: the largest direct payload of a stock server, and one byte more.
#[test]
fn the_numbers_of_section_9_hold() {
    let spec = crate::document::spec();
    let clause = spec.split("**PLAN-3.**").nth(1).unwrap().split("\n\n").next().unwrap().replace('\n', " ");
    let envelope = decode(&block("example camel").1[0]).unwrap();
    let fields = MessageFields::from(&envelope);
    for (raw, len) in [(786_015, 1_048_574), (786_016, 1_048_578)] {
        let bytes = vec![0; raw];
        let mut payload = PayloadFields::new("large_file", "binary", Data::Bytes(&bytes));
        payload.id = envelope.payload(0).unwrap().id();
        let found = encoded_len(Dialect::Camel, &fields, &[payload]);
        assert_eq!(found, len);
        let mut out = bytes::BytesMut::new();
        encode(Dialect::Camel, &fields, &[payload], &mut out);
        assert_eq!(out.len(), len);
        for number in [raw.min(786_015), found] {
            let digits = number.to_string();
            let written = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap());
            let written = written.collect::<Vec<_>>().join(",");
            assert!(clause.contains(&written), "PLAN-3 does not say {written}");
        }
    }
}

/// `RETRY-2` and `RETRY-3`: the table of waits, the sum below it, and what a server asks for.
#[test]
fn the_table_of_waits_holds() {
    let rows = table("| before retry | 1 | 2 | 3 | 4 | 5 | 6 | 7 and later |");
    let retry = Retry::default();
    assert_eq!(retry.delay(6, 0, None), None);
    let endless = retry.max_retries(u32::MAX);
    let waits: Vec<(u64, u64)> = rows[1][1..]
        .iter()
        .map(|cell| {
            cell.split_once('-').map(|(low, high)| (number(low) as u64, number(high) as u64)).unwrap()
        })
        .collect();
    assert_eq!(waits.len(), 7);
    for (n, (&(low, high), d)) in (1..).zip(waits.iter().zip(&rows[0][1..])) {
        assert_eq!((number(d) as u64, low * 2), (high, high));
        for later in if n == 7 { vec![7, 8, 64, u32::MAX] } else { vec![n] } {
            let drawn: Vec<_> = (0..300).map(|seed| endless.delay(later, seed, None).unwrap()).collect();
            let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
            assert!(drawn.iter().all(|wait| (low..=high).contains(wait)), "retry {later}");
        }
    }
    let sums = waits[..5].iter().fold((0, 0), |sum, wait| (sum.0 + wait.0, sum.1 + wait.1));
    assert_eq!(sums, (1550, 3100));
    assert!(crate::document::spec().contains("waits 1,550 to 3,100 ms in all"));
    for (asked, wait) in [(3000, 3000), (9000, 5000)] {
        assert_eq!(retry.delay(1, 0, Some(Duration::from_millis(asked))), Some(Duration::from_millis(wait)));
    }
    assert_eq!(retry.delay(1, 7, Some(Duration::ZERO)), retry.delay(1, 7, None));
}
