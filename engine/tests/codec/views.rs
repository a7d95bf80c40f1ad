//! A decoded message is views into what was received: no copies, no allocations.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use natsbridge::{Content, Data, Dialect, Envelope, Limits, MessageFields, PayloadFields, encode};

use crate::allocations;

fn message(payloads: usize) -> String {
    let payload = r#"{"id":"3b8d","dataname":"name","type":"text","transport":"direct","encoding":"base64","size":5,"data":"SGVsbG8=","metadata":{"a":1}}"#;
    let payloads = vec![payload; payloads].join(",");
    format!(
        r#"{{"correlationId":"5f0c3a4e","msgId":"c1d9","timestamp":"2026-02-22T14:15:24.250Z","sendTo":"/chat","msgPurpose":"chat","senderName":"Grüße","senderId":"0b6e","receiverName":"r","receiverId":"i","replyTo":"to","replyToMsgId":"m","brokerURL":"nats://h","metadata":{{"k":[1]}},"unknown":{{"deep":[[[{{}}]]]}},"payloads":[{payloads}]}}"#
    )
}

#[test]
fn every_view_lies_inside_the_received_bytes() {
    let extra = r#"{"type":"x","transport":"link","data":"http://localhost/a"},{"type":"table","transport":"direct","data":[{"a":1}]},{"type":"dictionary","transport":"direct","data":" {}"}]}"#;
    let text = message(1).replace("}]}", &format!("}},{extra}"));
    let body = Bytes::from(text.clone());
    let range = body.as_ptr_range();
    let envelope = Envelope::decode(body.clone()).unwrap();
    let inside = |bytes: &[u8]| {
        assert!(!bytes.is_empty());
        assert!(range.contains(&bytes.as_ptr()) && bytes.as_ptr_range().end <= range.end);
    };
    for view in [
        envelope.correlation_id(),
        envelope.msg_id(),
        envelope.timestamp(),
        envelope.send_to(),
        envelope.msg_purpose(),
        envelope.sender_name(),
        envelope.sender_id(),
        envelope.receiver_name(),
        envelope.receiver_id(),
        envelope.reply_to(),
        envelope.reply_to_msg_id(),
        envelope.broker_url(),
        envelope.metadata().as_json(),
    ] {
        inside(view.as_bytes());
    }
    inside(envelope.as_bytes());
    let payload = envelope.payload(0).unwrap();
    for view in [
        payload.id(),
        payload.dataname(),
        payload.type_name(),
        payload.encoding(),
        payload.metadata().as_json(),
    ] {
        inside(view.as_bytes());
    }
    let mut contents = Vec::new();
    for payload in envelope.payloads().skip(1) {
        contents.push(match payload.content().unwrap() {
            Content::Link(url) => {
                inside(url.as_bytes());
                "link"
            }
            Content::Json(json) => {
                inside(&json);
                "json"
            }
            _ => "other",
        });
    }
    assert_eq!(contents, ["link", "json", "json"]);
}

#[test]
fn up_to_eight_payloads_are_read_without_an_allocation() {
    for (count, expected) in [(0, 0), (1, 0), (8, 0), (9, 1)] {
        let body = Bytes::from(message(count));
        // `Bytes` made from a vector allocates its counter when it is first shared.
        drop(body.clone());
        let (allocations, envelope) = allocations::count(|| Envelope::decode(body).unwrap());
        assert_eq!(allocations, expected, "{count} payloads");
        let (allocations, ()) = allocations::count(|| {
            for payload in envelope.payloads() {
                assert_eq!((payload.dataname(), payload.size()), ("name", Some(5)));
                assert!(payload.content().is_ok() && payload.defect().is_none());
            }
            assert_eq!(envelope.sender_name(), "Grüße");
        });
        assert_eq!(allocations, 0, "views are free");
    }
}

#[test]
fn escapes_cost_allocations_only_where_they_are() {
    let body = Bytes::from(message(8).replace("c1d9", "c\\u0031d9"));
    drop(body.clone());
    let (allocations, envelope) = allocations::count(|| Envelope::decode(body).unwrap());
    assert_eq!(envelope.msg_id(), "c1d9");
    assert!(allocations <= 3, "{allocations}");
}

#[test]
fn decoding_a_payload_is_one_allocation_of_its_size() {
    let envelope = Envelope::decode(message(1)).unwrap();
    let (allocations, data) = allocations::count(|| envelope.payload(0).unwrap().decode().unwrap());
    // The buffer, and the counter that makes it shareable.
    assert!(allocations <= 2, "{allocations}");
    assert_eq!(data.bytes(), "Hello");
}

#[test]
fn messages_through_buffers_that_come_back_allocate_nothing_after_the_first() {
    let (raw, limits) = (vec![7; 5000], Limits::default());
    let payloads = [
        PayloadFields::new("a", "binary", Data::Bytes(&raw)),
        PayloadFields::new("b", "text", Data::Bytes(b"Hello")),
        PayloadFields::new("c", "image", Data::Bytes(b"")),
    ];
    let (mut messages, mut decoded, mut kept) = (BytesMut::new(), BytesMut::new(), Vec::new());
    for round in 0..5 {
        let (allocations, ()) = allocations::count(|| {
            encode(Dialect::Snake, &MessageFields::default(), &payloads, &mut messages);
            let message = messages.split().freeze();
            let envelope = Envelope::decode_into(message.clone(), &limits, &mut decoded).unwrap();
            assert_eq!(envelope.payload(0).unwrap().decode().unwrap().bytes(), &raw);
            assert_eq!(envelope.payload(1).unwrap().decode().unwrap().text().unwrap(), "Hello");
            assert_eq!(envelope.payload(2).unwrap().decode().unwrap().bytes(), "");
            let envelope = Envelope::decode_into_vec(message, &limits, &mut kept).unwrap();
            for (payload, expected) in envelope.payloads().zip([raw.as_slice(), b"Hello", b""]) {
                let bytes = payload.bytes_in(&kept).unwrap();
                assert!(matches!(bytes, Cow::Borrowed(bytes) if bytes == expected));
            }
        });
        assert!(round == 0 || allocations == 0, "{allocations} allocations in round {round}");
    }
    // What is kept stays as it is while the buffer is used for other messages.
    encode(Dialect::Camel, &MessageFields::default(), &payloads, &mut messages);
    let message = messages.split().freeze();
    let envelope = Envelope::decode_into(message.clone(), &limits, &mut decoded).unwrap();
    let first = envelope.payload(0).unwrap().decode().unwrap();
    drop(envelope);
    let other = String::from_utf8(message.to_vec()).unwrap().replace("BwcH", "CAgI");
    let other = Envelope::decode_into(other, &limits, &mut decoded).unwrap();
    assert_eq!(first.bytes(), &raw);
    assert_ne!(other.payload(0).unwrap().decode().unwrap().bytes(), &raw);
}

#[test]
fn what_fails_leaves_an_empty_buffer() {
    let limits = Limits::default();
    let whole = message(3);
    for len in 0..whole.len() {
        let (mut shared, mut kept) = (BytesMut::from("before"), b"before".to_vec());
        let cut = Bytes::copy_from_slice(&whole.as_bytes()[..len]);
        assert!(Envelope::decode_into(cut.clone(), &limits, &mut shared).is_err());
        assert!(shared.is_empty());
        assert!(Envelope::decode_into_vec(cut, &limits, &mut kept).is_err());
    }
    let mut long = Vec::new();
    assert!(Envelope::decode_into_vec(whole, &limits.message_len(10), &mut long).is_err());
}

#[test]
fn a_decoded_payload_begins_on_a_64_byte_boundary_whatever_its_length() {
    for len in 0..200 {
        for end in ["", "\\n"] {
            let text = crate::oracle::base64::encode(&vec![7; len]) + end;
            let message =
                format!(r#"{{"payloads":[{{"type":"table","transport":"direct","data":"{text}"}}]}}"#);
            let data = Envelope::decode(message).unwrap().payload(0).unwrap().decode().unwrap();
            assert_eq!((data.bytes().len(), data.bytes().as_ptr() as usize % 64), (len, 0));
        }
    }
}

#[test]
fn into_owned_lets_go_of_the_received_bytes_and_says_the_same() {
    let body = Bytes::from(message(3).replace("\"m\"", "\"\\u006d\""));
    let whole = Bytes::from([b"before", body.as_ref(), b"behind"].concat());
    let envelope = Envelope::decode(whole.slice(6..6 + body.len())).unwrap();
    assert!(!whole.is_unique());
    let owned = envelope.clone().into_owned();
    assert_eq!((owned.reply_to_msg_id(), owned.sender_name()), ("m", "Grüße"));
    assert_eq!(owned.as_bytes(), envelope.as_bytes());
    assert_eq!(owned.payload(2).unwrap().decode().unwrap().text().unwrap(), "Hello");
    drop(envelope);
    assert!(whole.is_unique(), "the owned copy does not keep the buffer alive");
}

#[test]
fn clones_share_the_received_bytes() {
    let envelope = Envelope::decode(message(1)).unwrap();
    assert_eq!(envelope.clone().as_bytes().as_ptr(), envelope.as_bytes().as_ptr());
}
