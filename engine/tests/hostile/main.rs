//! Input from people who mean harm: every limit on both sides of its bound, and bombs.
#![cfg(feature = "table")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bombs;
mod limits;

use natsbridge::{Envelope, Limits, PayloadData, PayloadType};

/// A message with these fields before `payloads`, and these payloads.
fn message(fields: &str, payloads: &str) -> Vec<u8> {
    format!("{{{fields}\"payloads\":[{payloads}]}}").into_bytes()
}

/// A direct payload of this type with these bytes.
fn direct(type_name: &str, bytes: &[u8]) -> String {
    let data = base64::engine::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    let size = bytes.len();
    format!(r#"{{"dataname":"d","type":"{type_name}","transport":"direct","size":{size},"data":"{data}"}}"#)
}

/// Reads in every way that there is; all ways agree.
fn read(message: &[u8], limits: &Limits) -> natsbridge::Result<Envelope> {
    let lazy = Envelope::decode_with(message.to_vec(), limits);
    let eager = Envelope::decode_into(message.to_vec(), limits, &mut bytes::BytesMut::new());
    let any = Envelope::decode_in_any_order(message.to_vec(), limits);
    for other in [&eager, &any] {
        match (&lazy, other) {
            (Ok(lazy), Ok(other)) => assert_eq!(format!("{lazy:?}"), format!("{other:?}")),
            (Err(lazy), Err(other)) => assert_eq!(lazy.to_string(), other.to_string()),
            _ => panic!("{lazy:?} or {other:?}"),
        }
    }
    lazy
}

fn dictionary(json: &str, limits: Limits) -> PayloadData {
    PayloadData::new(PayloadType::Dictionary, json.to_owned(), None, 0).limited(limits)
}
