//! `dictionary/…`, `table/…`, `plan/…`: values to bytes and back, and the choice between direct and link.

use std::hint::black_box;

use natsbridge::plan::{PlanItem, PlanLimits, plan};
use natsbridge::{Payload, PayloadData, PayloadType, Transport};
use serde_json::{Value, json};

use super::GATED;
use crate::scenario::{Contestant, Scenario};

/// Entries of a dictionary, and about how much JSON they are.
const DICTIONARIES: [(&str, usize); 3] = [("64B", 1), ("1KiB", 14), ("64KiB", 900)];

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (size, entries) in DICTIONARIES {
        let len = text_of(entries).len();
        let gated = GATED.contains(&size);
        let encode = Scenario::new(format!("dictionary/encode/config/{size}"), len, move || write(entries));
        all.push(encode.gated(gated));
        let decode = Scenario::new(format!("dictionary/decode/config/{size}"), len, move || read(entries));
        all.push(decode.gated(gated));
    }
    for count in [1, 16, 64] {
        let scenario = Scenario::new(format!("plan/mixed/{count}-payloads"), 0, move || planning(count));
        all.push(scenario.gated(count == 16));
    }
    #[cfg(feature = "table")]
    all.extend(table::scenarios());
    all
}

/// Settings as programs send them: strings, numbers, booleans, lists.
fn dictionary(entries: usize) -> Value {
    let entry = |n: usize| json!({"id": n, "name": format!("sensor-{n}"), "celsius": 20.5 + n as f64 / 8.0, "on": n.is_multiple_of(3)});
    Value::Array((0..entries).map(entry).collect())
}

fn text_of(entries: usize) -> Vec<u8> {
    serde_json::to_vec(&dictionary(entries)).expect("JSON can be written")
}

fn write(entries: usize) -> Vec<Contestant> {
    let (value, text) = (dictionary(entries), text_of(entries));
    vec![
        Contestant::new(
            "natsbridge",
            &text,
            (value.clone(), None),
            |(value, payload)| *payload = Payload::dictionary("config", black_box(&*value)).ok(),
            |(_, payload)| payload.as_ref().map(|payload| payload.chunks().concat()).unwrap_or_default(),
        ),
        Contestant::new(
            "serde_json",
            &text,
            (value, Vec::new()),
            |(value, out)| *out = serde_json::to_vec(black_box(&*value)).unwrap_or_default(),
            |(_, out)| out.clone(),
        ),
    ]
}

fn read(entries: usize) -> Vec<Contestant> {
    let text = text_of(entries);
    let again = |value: &Value| serde_json::to_vec(value).unwrap_or_default();
    let data = PayloadData::new(PayloadType::Dictionary, text.clone(), None, 0);
    let mut all = vec![
        Contestant::new(
            "natsbridge",
            &text,
            (data, Value::Null),
            |(data, value)| *value = black_box(&*data).json_value().unwrap_or_default(),
            move |(_, value)| again(value),
        ),
        Contestant::new(
            "serde_json",
            &text,
            (text.clone(), Value::Null),
            |(text, value)| *value = serde_json::from_slice(black_box(text)).unwrap_or_default(),
            move |(_, value)| again(value),
        ),
    ];
    #[cfg(feature = "rivals")]
    all.push(Contestant::new(
        "sonic-rs",
        &text,
        (text.clone(), Value::Null),
        |(text, value)| *value = sonic_rs::from_slice(black_box(text)).unwrap_or_default(),
        move |(_, value)| again(value),
    ));
    all.shrink_to_fit();
    all
}

/// Every third payload is above the threshold; the others do not fit together.
fn planning(count: usize) -> Vec<Contestant> {
    let item = |n: usize| {
        let size = if n.is_multiple_of(3) { 1_500_000 } else { 100_000 + n };
        PlanItem::new(size as u64, size.div_ceil(3) * 4 + 180, 400)
    };
    let items: Vec<_> = (0..count).map(item).collect();
    let limits = PlanLimits::new(1_000_000, Some(1_048_576), 500, true);
    // The rule in words: links from the threshold on, then the largest direct ones until the rest fits.
    let mut expected: Vec<u8> = items.iter().map(|item| u8::from(item.size >= limits.threshold)).collect();
    loop {
        let len = |(item, link): (&PlanItem, &u8)| if *link == 1 { item.link_len } else { item.direct_len };
        let entries: usize = items.iter().zip(&expected).map(len).sum();
        if limits.base_len + entries + count.saturating_sub(1) <= 1_048_576 {
            break;
        }
        let direct = (0..count).filter(|&at| expected[at] == 0);
        let largest = direct.max_by_key(|&at| (items[at].direct_len, std::cmp::Reverse(at)));
        expected[largest.expect("links alone fit")] = 1;
    }
    vec![Contestant::new(
        "natsbridge",
        &expected,
        (items, limits, Vec::new()),
        |(items, limits, out)| *out = plan(black_box(items), limits).unwrap_or_default(),
        |(_, _, out)| out.iter().map(|transport| u8::from(*transport == Transport::Link)).collect(),
    )]
}

#[cfg(feature = "table")]
mod table {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    };
    use arrow_ipc::reader::StreamReader;
    use arrow_ipc::writer::StreamWriter;
    use bytes::{Bytes, BytesMut};
    use natsbridge::{Dialect, Envelope, Limits, PayloadFields};

    use super::*;
    use crate::engine;
    use crate::input::{Shape, fields};

    /// Rows of a table.
    const TABLES: [(&str, usize); 2] = [("1k-rows", 1_000), ("100k-rows", 100_000)];

    pub(super) fn scenarios() -> Vec<Scenario> {
        let mut all = Vec::new();
        for (name, rows) in TABLES {
            let len = stream(&batch(rows)).len();
            for (operation, build) in [("encode", encode as fn(usize) -> Vec<Contestant>), ("decode", decode)]
            {
                all.push(Scenario::new(format!("table/{operation}/batch/{name}"), len, move || build(rows)));
            }
        }
        all
    }

    fn batch(rows: usize) -> RecordBatch {
        let n = rows as i64;
        let columns: [(&str, ArrayRef); 5] = [
            ("id", Arc::new(Int64Array::from_iter_values(0..n))),
            ("score", Arc::new(Float64Array::from_iter_values((0..n).map(|n| n as f64 * 0.5)))),
            ("rank", Arc::new(Int32Array::from_iter_values((0..n).map(|n| (n % 1000) as i32)))),
            ("name", Arc::new(StringArray::from_iter_values((0..n).map(|n| format!("n-{}", n % 1000))))),
            ("active", Arc::new(BooleanArray::from_iter((0..n).map(|n| Some(n % 3 == 0))))),
        ];
        RecordBatch::try_from_iter(columns).expect("the columns have one length")
    }

    fn stream(batch: &RecordBatch) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer =
            StreamWriter::try_new(&mut out, batch.schema_ref()).expect("the schema can be written");
        writer.write(batch).and_then(|()| writer.finish()).expect("the batch can be written");
        drop(writer);
        out
    }

    /// What all must agree on: the rows again, as Arrow writes them.
    fn again(batches: &[RecordBatch]) -> Vec<u8> {
        batches.first().map(stream).unwrap_or_default()
    }

    /// The batches to a whole message, and back to batches for the answer.
    fn encode(rows: usize) -> Vec<Contestant> {
        let batch = batch(rows);
        let expected = stream(&batch);
        vec![
            super::super::memcpy(expected.clone()),
            Contestant::new(
                "natsbridge",
                &expected,
                (batch.clone(), BytesMut::new()),
                |(batch, out)| {
                    out.clear();
                    let payload = Payload::table("scores", std::slice::from_ref(black_box(batch)));
                    let payload = payload.expect("the batch can be written");
                    let entry = PayloadFields::new(payload.dataname(), payload.type_name(), payload.direct());
                    engine::encode(Dialect::Camel, &fields(Shape::Plain), &[entry], out);
                },
                |(_, out)| {
                    let envelope = Envelope::decode(out.clone().freeze()).expect("it was written just now");
                    let data = envelope.payload(0).expect("there is one").decode().expect("it is direct");
                    again(&data.record_batches().expect("it is a table"))
                },
            ),
            // The stream in one piece, then the message: what one would do by hand.
            Contestant::new(
                "arrow-ipc+serde_json+base64",
                &expected,
                (batch, Vec::new()),
                |(batch, out)| {
                    let raws = [stream(black_box(batch))];
                    *out = crate::rival::naive::encode_raws(&raws);
                },
                |(_, out)| crate::rival::naive::decode_message(out).concat(),
            ),
        ]
    }

    /// A message's bytes to batches.
    fn decode(rows: usize) -> Vec<Contestant> {
        let expected = stream(&batch(rows));
        let payload = Payload::table("scores", &[batch(rows)]).expect("the batch can be written");
        let entry = PayloadFields::new(payload.dataname(), payload.type_name(), payload.direct());
        let mut message = BytesMut::new();
        engine::encode(Dialect::Camel, &fields(Shape::Plain), &[entry], &mut message);
        let message = message.freeze();
        vec![
            super::super::memcpy(expected.clone()),
            Contestant::new(
                "natsbridge",
                &expected,
                (message.clone(), BytesMut::new(), Vec::new()),
                |(message, buffer, batches)| {
                    batches.clear(); // they keep the buffer
                    let limits = Limits::default();
                    let envelope = Envelope::decode_into(black_box(&*message).clone(), &limits, buffer);
                    let envelope = envelope.expect("the message is valid");
                    let data = envelope.payload(0).expect("there is one").decode().expect("it is direct");
                    *batches = data.record_batches().expect("it is a table");
                },
                |(_, _, batches)| again(batches),
            ),
            Contestant::new(
                "arrow-ipc+serde_json+base64",
                &expected,
                (message, Vec::new()),
                |(message, batches)| {
                    let raw: Bytes = crate::rival::naive::decode_message(black_box(message)).concat().into();
                    let reader = StreamReader::try_new(Cursor::new(raw), None).expect("it is a stream");
                    *batches = reader.collect::<Result<Vec<_>, _>>().expect("the stream is valid");
                },
                |(_, batches)| again(batches),
            ),
        ]
    }
}
