//! Writing a message: the exact bytes (SPEC `ENV-W`).

use bytes::{Bytes, BytesMut};
use natsbridge::envelope::payload_entry_len;
use natsbridge::{
    Data, Dialect, Envelope, MessageFields, Metadata, PayloadFields, Transport, encode, encoded_len,
};

use crate::allocations;

const CAMEL: &str = concat!(
    r#"{"correlationId":"5f0c3a4e-1b7d-4c52-9a3e-8d2f6b1c0e47","msgId":"c1d9e8f7-2a3b-4c5d-8e6f-708192a3b4c5","#,
    r#""timestamp":"2026-02-22T14:15:24.250Z","sendTo":"/chat/room1","msgPurpose":"chat","senderName":"NATSBridge","#,
    r#""senderId":"0b6e2f1a-9c8d-4e7f-a5b4-c3d2e1f00112","receiverName":"","receiverId":"","replyTo":"","#,
    r#""replyToMsgId":"","brokerURL":"nats://localhost:4222","metadata":{},"payloads":["#,
    r#"{"id":"a3b8d1b6-0b3b-4b1a-9c1a-1a2b3c4d5e6f","dataname":"message_text","type":"text","transport":"direct","#,
    r#""encoding":"base64","size":20,"data":"R3LDvMOfZSwgIk5BVFMiIPCfkYs=","metadata":{}},"#,
    r#"{"id":"7e57d004-2b97-4e7a-b45f-5387367791cd","dataname":"user_image","type":"image","transport":"link","#,
    r#""encoding":"none","size":1200000,"data":"http://localhost:8080/file/u/f/user_image","metadata":{"sha256":"61ff","n":[1,2.5]}}]}"#,
);

const SNAKE: &str = concat!(
    r#"{"correlation_id":"5f0c3a4e-1b7d-4c52-9a3e-8d2f6b1c0e47","msg_id":"c1d9e8f7-2a3b-4c5d-8e6f-708192a3b4c5","#,
    r#""timestamp":"2026-02-22T14:15:24.250Z","send_to":"/chat/room1","msg_purpose":"chat","sender_name":"NATSBridge","#,
    r#""sender_id":"0b6e2f1a-9c8d-4e7f-a5b4-c3d2e1f00112","receiver_name":"","receiver_id":"","reply_to":"","#,
    r#""reply_to_msg_id":"","broker_url":"nats://localhost:4222","metadata":{},"payloads":["#,
    r#"{"id":"a3b8d1b6-0b3b-4b1a-9c1a-1a2b3c4d5e6f","dataname":"message_text","payload_type":"text","transport":"direct","#,
    r#""encoding":"base64","size":20,"data":"R3LDvMOfZSwgIk5BVFMiIPCfkYs=","metadata":{}},"#,
    r#"{"id":"7e57d004-2b97-4e7a-b45f-5387367791cd","dataname":"user_image","payload_type":"image","transport":"link","#,
    r#""encoding":"none","size":1200000,"data":"http://localhost:8080/file/u/f/user_image","metadata":{"sha256":"61ff","n":[1,2.5]}}]}"#,
);

fn fields() -> MessageFields<'static> {
    let mut fields = MessageFields::default();
    fields.correlation_id = "5f0c3a4e-1b7d-4c52-9a3e-8d2f6b1c0e47";
    fields.msg_id = "c1d9e8f7-2a3b-4c5d-8e6f-708192a3b4c5";
    fields.timestamp = "2026-02-22T14:15:24.250Z";
    fields.send_to = "/chat/room1";
    fields.msg_purpose = "chat";
    fields.sender_name = "NATSBridge";
    fields.sender_id = "0b6e2f1a-9c8d-4e7f-a5b4-c3d2e1f00112";
    fields.broker_url = "nats://localhost:4222";
    fields
}

fn written(dialect: Dialect, fields: &MessageFields<'_>, payloads: &[PayloadFields<'_>]) -> String {
    let mut out = BytesMut::new();
    encode(dialect, fields, payloads, &mut out);
    assert_eq!(out.len(), encoded_len(dialect, fields, payloads));
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn all_keys_are_written_in_the_order_of_the_format_in_either_dialect() {
    let mut metadata = Metadata::new();
    metadata.insert("sha256", "61ff").unwrap().insert("n", (1, 2.5)).unwrap();
    let text = "Grüße, \"NATS\" 👋";
    let pieces =
        [Bytes::from_static(&text.as_bytes()[..1]), Bytes::new(), Bytes::from_static(&text.as_bytes()[1..])];
    for data in [Data::Bytes(text.as_bytes()), Data::Chunks(&pieces)] {
        let mut payloads = [
            PayloadFields::new("message_text", "text", data),
            PayloadFields::new(
                "user_image",
                "image",
                Data::Link { url: "http://localhost:8080/file/u/f/user_image", size: 1_200_000 },
            ),
        ];
        payloads[0].id = "a3b8d1b6-0b3b-4b1a-9c1a-1a2b3c4d5e6f";
        payloads[1].id = "7e57d004-2b97-4e7a-b45f-5387367791cd";
        payloads[1].metadata = Some(&metadata);
        for (dialect, expected) in [(Dialect::Camel, CAMEL), (Dialect::Snake, SNAKE)] {
            for _ in 0..2 {
                assert_eq!(written(dialect, &fields(), &payloads), expected);
            }
            let entries: usize = payloads.iter().map(|payload| payload_entry_len(dialect, payload)).sum();
            assert_eq!(entries + 1 + encoded_len(dialect, &fields(), &[]), expected.len());
        }
        assert_eq!((data.size(), data.transport()), (20, Transport::Direct));
    }
}

#[test]
fn a_message_may_have_no_payloads_and_empty_fields_are_written_too() {
    assert_eq!(
        written(Dialect::Camel, &MessageFields::default(), &[]),
        concat!(
            r#"{"correlationId":"","msgId":"","timestamp":"","sendTo":"","msgPurpose":"","senderName":"","senderId":"","#,
            r#""receiverName":"","receiverId":"","replyTo":"","replyToMsgId":"","brokerURL":"","metadata":{},"payloads":[]}"#
        )
    );
}

#[test]
fn only_quotes_backslashes_and_control_characters_are_escaped() {
    let all: String = (0..=0x7f).map(char::from).chain("é€\u{2028}\u{fffd}😀\u{10ffff}".chars()).collect();
    let mut fields = MessageFields::default();
    fields.send_to = &all;
    let message = written(Dialect::Camel, &fields, &[]);
    let expected = concat!(
        r#""sendTo":"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f"#,
        r"\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f",
        r##" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##,
        "\u{7f}é€\u{2028}\u{fffd}😀\u{10ffff}\",",
    );
    assert!(message.contains(expected), "{message}");
    assert_eq!(Envelope::decode(message).unwrap().send_to(), all);
}

#[test]
fn a_table_is_written_with_the_dialects_word_for_it_and_other_types_as_they_are() {
    for (given, camel, snake) in [
        ("table", "table", "arrowtable"),
        ("arrowtable", "table", "arrowtable"),
        ("jsontable", "jsontable", "jsontable"),
        ("dictionary", "dictionary", "dictionary"),
        ("Table", "Table", "Table"),
        ("my \"kind\"", "my \\\"kind\\\"", "my \\\"kind\\\""),
    ] {
        let payload = [PayloadFields::new("d", given, Data::Bytes(b""))];
        let message = written(Dialect::Camel, &MessageFields::default(), &payload);
        assert!(message.contains(&format!(r#""dataname":"d","type":"{camel}","transport""#)), "{message}");
        let message = written(Dialect::Snake, &MessageFields::default(), &payload);
        assert!(
            message.contains(&format!(r#""dataname":"d","payload_type":"{snake}","transport""#)),
            "{message}"
        );
    }
}

#[test]
fn the_encoding_tells_the_transport_whatever_the_type() {
    for type_name in
        ["text", "dictionary", "table", "jsontable", "image", "audio", "video", "binary", "other"]
    {
        let payloads = [
            PayloadFields::new("", type_name, Data::Bytes(b"[]")),
            PayloadFields::new("", type_name, Data::Link { url: "http://h/", size: 0 }),
        ];
        let envelope = Envelope::decode(written(Dialect::Camel, &fields(), &payloads)).unwrap();
        let seen: Vec<_> = envelope
            .payloads()
            .map(|payload| (payload.encoding(), payload.transport(), payload.size()))
            .collect();
        assert_eq!(
            seen,
            [("base64", Some(Transport::Direct), Some(2)), ("none", Some(Transport::Link), Some(0))]
        );
    }
}

#[test]
fn writing_into_a_buffer_with_room_allocates_nothing() {
    let bytes = vec![7; 100_000];
    let pieces = [Bytes::from(vec![1; 1000]), Bytes::from(vec![2; 50_001]), Bytes::from(vec![3; 2])];
    let mut metadata = Metadata::new();
    metadata.insert("a\n", 1).unwrap();
    let mut fields = fields();
    fields.metadata = Some(&metadata);
    fields.sender_name = "needs \"escapes\"\n";
    let payloads = [
        PayloadFields::new("a", "binary", Data::Bytes(&bytes)),
        PayloadFields::new("b", "table", Data::Chunks(&pieces)),
        PayloadFields::new("c", "image", Data::Link { url: "http://h/ü", size: u64::MAX }),
    ];
    let len = encoded_len(Dialect::Camel, &fields, &payloads);
    let mut out = BytesMut::with_capacity(len);
    let start = out.as_ptr();
    let (allocations, ()) = allocations::count(|| encode(Dialect::Camel, &fields, &payloads, &mut out));
    assert_eq!((allocations, out.len(), out.as_ptr()), (0, len, start));
    let (allocations, _) = allocations::count(|| encoded_len(Dialect::Camel, &fields, &payloads));
    assert_eq!(allocations, 0);
    let mut grown = BytesMut::new();
    let (allocations, ()) = allocations::count(|| encode(Dialect::Camel, &fields, &payloads, &mut grown));
    assert_eq!((allocations, grown), (1, out), "an empty buffer grows once");
}

#[test]
fn what_stands_in_the_buffer_already_is_kept() {
    let mut out = BytesMut::from("HPUB ");
    encode(Dialect::Camel, &MessageFields::default(), &[], &mut out);
    assert!(out.starts_with(b"HPUB {\"correlationId\""));
}

#[test]
fn metadata_keeps_the_callers_order_and_the_shortest_numbers() {
    let mut metadata = Metadata::new();
    for (key, value) in [
        ("z", serde_json::json!(1)),
        ("a", serde_json::json!(0.1)),
        ("m", serde_json::json!({"é": [null, true]})),
    ] {
        metadata.insert(key, value).unwrap();
    }
    metadata.insert("z", -7).unwrap();
    assert_eq!(metadata.to_json(), r#"{"z":-7,"a":0.1,"m":{"é":[null,true]}}"#);
    let mut fields = MessageFields::default();
    fields.metadata = Some(&metadata);
    let envelope = Envelope::decode(written(Dialect::Snake, &fields, &[])).unwrap();
    assert_eq!(envelope.metadata().as_json(), metadata.to_json());
}

#[test]
fn metadata_from_text_is_written_like_any_other() {
    for (given, expected) in [
        (r#" { "a" : 1 , "b" : [ ] } "#, r#"{"a":1,"b":[]}"#),
        (r#"{"\u0061":"\u00e9\/\ud83d\ude00\u000a\u007f\u0001"}"#, "{\"a\":\"é/😀\\n\u{7f}\\u0001\"}"),
        (r#"{"a":{"\u00e9":" \" , "}}"#, r#"{"a":{"é":" \" , "}}"#),
        (
            r#"{"a":1.50,"b":100e-2,"c":18446744073709551615,"d":-9223372036854775808,"e":0.10}"#,
            r#"{"a":1.5,"b":1.0,"c":18446744073709551615,"d":-9223372036854775808,"e":0.1}"#,
        ),
        (r#"{"b":1,"a":2,"b":3}"#, r#"{"b":3,"a":2}"#),
    ] {
        assert_eq!(Metadata::from_json(given).unwrap().to_json(), expected, "{given}");
    }
    for (given, offset) in [
        ("{\"a\":1e400}", Some(5)),
        ("{\"a\":[1,-1e999]}", Some(8)),
        ("[]", None),
        ("{\"a\":01}", Some(6)),
        ("", Some(0)),
    ] {
        let error = Metadata::from_json(given).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (natsbridge::ErrorKind::InvalidInput, offset), "{given}");
    }
}
