//! Reading a message: what is accepted, what it means, what is refused and where (SPEC `ENV-R`).

use natsbridge::{Content, Dialect, Envelope, ErrorKind, Fault, Limits, PayloadType, Transport};

fn read(message: &str) -> Envelope {
    crate::properties::envelope_differential(message.as_bytes());
    Envelope::decode(message.as_bytes().to_vec()).unwrap_or_else(|error| panic!("{message}: {error}"))
}

/// Where the message is refused.
fn refused(message: &[u8]) -> u64 {
    crate::properties::envelope_differential(message);
    let error = Envelope::decode(message.to_vec()).map(|_| ()).unwrap_err();
    assert_eq!((error.kind(), error.fault(), error.payload()), (ErrorKind::Malformed, Fault::Sender, None));
    error.offset().unwrap()
}

/// Where the message's first payload is refused; the message itself is readable, and so is its second payload.
fn payload_refused(payload: &str) -> u64 {
    let start = r#"{"payloads":["#;
    let good = r#"{"type":"text","transport":"direct","data":"QQ=="}"#;
    let envelope = read(&format!("{start}{payload},{good}]}}"));
    assert_eq!(envelope.payload(1).unwrap().decode().unwrap().text().unwrap(), "A");
    let view = envelope.payload(0).unwrap();
    let error = view.content().map(|_| ()).unwrap_err();
    assert_eq!(
        (error.kind(), error.fault(), error.payload()),
        (ErrorKind::InvalidPayload, Fault::Sender, Some(0))
    );
    assert_eq!(view.defect().unwrap().offset(), error.offset());
    error.offset().unwrap() - start.len() as u64
}

#[test]
fn every_field_of_the_camel_case_dialect_is_read() {
    let envelope = read(
        r#"{"correlationId":"1","msgId":"2","timestamp":"2026-02-22T14:15:24.250Z","sendTo":"/chat/room1",
        "msgPurpose":"chat","senderName":"6","senderId":"7","receiverName":"8","receiverId":"9","replyTo":"10",
        "replyToMsgId":"11","brokerURL":"nats://localhost:4222","metadata":{"n":1},"payloads":[{"id":"a","dataname":"b",
        "type":"text","transport":"direct","encoding":"base64","size":5,"data":"SGVsbG8=","metadata":{"m":[2]}}]}"#,
    );
    assert_eq!(envelope.dialect(), Dialect::Camel);
    assert_eq!((envelope.correlation_id(), envelope.msg_id(), envelope.send_to()), ("1", "2", "/chat/room1"));
    assert_eq!((envelope.msg_purpose(), envelope.sender_name(), envelope.sender_id()), ("chat", "6", "7"));
    assert_eq!((envelope.receiver_name(), envelope.receiver_id()), ("8", "9"));
    assert_eq!((envelope.reply_to(), envelope.reply_to_msg_id()), ("10", "11"));
    assert_eq!(envelope.broker_url(), "nats://localhost:4222");
    assert_eq!(envelope.metadata().get::<u8>("n"), Some(1));
    let since = envelope.sent_at().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_millis(), 1_771_769_724_250);
    let payload = envelope.payload(0).unwrap();
    assert_eq!((payload.id(), payload.dataname(), payload.type_name()), ("a", "b", "text"));
    assert_eq!((payload.payload_type(), payload.transport()), (PayloadType::Text, Some(Transport::Direct)));
    assert_eq!((payload.encoding(), payload.size()), ("base64", Some(5)));
    assert_eq!(payload.metadata().get::<Vec<u8>>("m"), Some(vec![2]));
    assert_eq!(payload.decode().unwrap().text().unwrap(), "Hello");
    assert_eq!(envelope.payload_named("b").map(|payload| payload.index()), Some(0));
    assert!(envelope.payload_named("c").is_none() && envelope.payload(1).is_none());
}

#[test]
fn every_field_of_the_snake_case_dialect_is_read() {
    let envelope = read(
        r#"{"correlation_id":"1","msg_id":"2","timestamp":"3","send_to":"4","msg_purpose":"5","sender_name":"6",
        "sender_id":"7","receiver_name":"8","receiver_id":"9","reply_to":"10","reply_to_msg_id":"11",
        "broker_url":"localhost","metadata":{},"payloads":[{"payload_type":"binary","transport":"link","data":"http://h/"}]}"#,
    );
    assert_eq!(envelope.dialect(), Dialect::Snake);
    let strings = [
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
    ];
    assert_eq!(strings, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "localhost"]);
    assert_eq!(envelope.sent_at(), None, "an unreadable time fails nothing");
    let payload = envelope.payload(0).unwrap();
    assert_eq!(payload.transport(), Some(Transport::Link));
    assert!(matches!(payload.content(), Ok(Content::Link(url)) if url == "http://h/"));
}

#[test]
fn everything_but_the_payloads_may_be_missing_or_null() {
    let keys = [
        "correlationId",
        "msgId",
        "timestamp",
        "sendTo",
        "msgPurpose",
        "senderName",
        "senderId",
        "receiverName",
        "receiverId",
        "replyTo",
        "replyToMsgId",
        "brokerURL",
        "metadata",
    ];
    let nulls: String = keys.iter().map(|key| format!("\"{key}\":null,")).collect();
    for start in ["", &nulls] {
        let envelope = read(&format!("{{{start}\"payloads\":[]}}"));
        assert_eq!((envelope.correlation_id(), envelope.broker_url(), envelope.payload_count()), ("", "", 0));
        assert_eq!(envelope.metadata().as_json(), "{}");
        assert!(envelope.metadata().is_empty());
    }
    for message in ["{}", r#"{"msgId":"a"}"#, r#"{"payloads":null}"#, r#"{"x":{"payloads":[]}}"#] {
        refused(message.as_bytes());
    }
    let envelope = read(
        r#"{"payloads":[{"id":null,"dataname":null,"encoding":null,"size":null,"metadata":null,"type":"t","transport":"direct","data":""}]}"#,
    );
    let payload = envelope.payload(0).unwrap();
    assert_eq!((payload.id(), payload.dataname(), payload.encoding(), payload.size()), ("", "", "", None));
    assert_eq!((payload.metadata().as_json(), payload.type_name()), ("{}", "t"));
    assert!(payload.decode().unwrap().bytes().is_empty(), "an empty string is zero bytes, not missing");
}

#[test]
fn the_first_key_that_only_one_dialect_has_tells_the_dialect() {
    let (camel, snake) = (Dialect::Camel, Dialect::Snake);
    for (message, dialect) in [
        (r#"{"payloads":[]}"#, camel),
        (r#"{"timestamp":"","metadata":{},"payloads":[{"id":"","data":"","size":1}]}"#, camel),
        (r#"{"msg_id":null,"payloads":[]}"#, snake),
        (r#"{"payloads":[],"msg_id":"","sendTo":""}"#, snake),
        (r#"{"payloads":[],"sendTo":"","msg_id":""}"#, camel),
        (r#"{"BrokerURL":"","msg_id":"","payloads":[]}"#, camel),
        (r#"{"broker_url":"","msgId":"","payloads":[]}"#, snake),
        (r#"{"payloads":[{"payload_type":"text"}],"msgId":""}"#, snake),
        (r#"{"payloads":[{"type":"text"}],"msg_id":""}"#, camel),
        (r#"{"payloads":[7,{"payload_type":7}]}"#, snake),
        (
            r#"{"metadata":{"msg_id":1},"x":{"msg_id":1},"payloads":[{"metadata":{"payload_type":1},"data":{"payload_type":1}}],"msgId":""}"#,
            camel,
        ),
        (r#"{"metadata":{"msgId":1},"payloads":[],"msg_id":""}"#, snake),
        (r#"{"\u006dsg_id":"","payloads":[]}"#, snake),
        (r#"{"msg_Id":"","MsgId":"","payloads":[],"msg_id":""}"#, snake),
        (r#"{"type":"top","payload_type":"level","payloads":[],"msg_id":""}"#, snake),
        (r#"{"payloads":[{"msgId":"inside","payload_type":""}]}"#, snake),
    ] {
        assert_eq!(read(message).dialect(), dialect, "{message}");
    }
}

#[test]
fn either_spelling_is_understood_in_any_message_and_the_draft_spelling_too() {
    let envelope = read(
        r#"{"BrokerURL":"b","msg_id":"m","sendTo":"s","payloads":[{"payload_type":"text","transport":"direct","data":"QQ"}]}"#,
    );
    assert_eq!((envelope.broker_url(), envelope.msg_id(), envelope.send_to()), ("b", "m", "s"));
    assert_eq!(envelope.payload(0).unwrap().decode().unwrap().text().unwrap(), "A");
}

#[test]
fn a_known_key_twice_in_whatever_spelling_fails_the_message_at_the_second_one() {
    for (message, second) in [
        (r#"{"msgId":"a","msgId":"a","payloads":[]}"#, r#""msgId":"a","payloads"#),
        (r#"{"msgId":"a","msg_id":"a","payloads":[]}"#, r#""msg_id""#),
        (r#"{"msg_id":null, "msgId":"a","payloads":[]}"#, r#""msgId""#),
        (r#"{"msgId":"a","msgI\u0064":"a","payloads":[]}"#, r#""msgI\u"#),
        (r#"{"brokerURL":"","BrokerURL":null,"payloads":[]}"#, r#""BrokerURL""#),
        (r#"{"broker_url":"","x":1,"BrokerURL":"","payloads":[]}"#, r#""BrokerURL""#),
        (r#"{"metadata":{},"metadata":{},"payloads":[]}"#, r#""metadata":{},"payloads"#),
        (r#"{"payloads":[] , "payloads":[]}"#, r#""payloads":[]}"#),
        (
            r#"{"payloads":[{"type":"text","payload_type":"text","transport":"direct","data":""}]}"#,
            r#""payload_type""#,
        ),
        (r#"{"payloads":[{"data":1,"data":2}]}"#, r#""data":2"#),
        (r#"{"payloads":[{"size":1,"size":1}]}"#, r#""size":1}"#),
        (r#"{"payloads":[{"id":null,"id":null}]}"#, r#""id":null}"#),
    ] {
        let offset = refused(message.as_bytes()) as usize;
        assert!(message[offset..].starts_with(second), "{message}: {offset}");
    }
    // Unknown keys may repeat, and so may known names where they are not keys of the message or of a payload.
    read(
        r#"{"x":1,"x":2,"metadata":{"msgId":1,"msgId":2},"payloads":[{"y":1,"y":1,"metadata":{"id":1,"id":2}},{"id":""},{"id":""}]}"#,
    );
}

#[test]
fn unknown_keys_are_skipped_whatever_they_hold() {
    let large = format!("[{}0]", "{\"a\":\"\\u00e9\",\"b\":[null,true,1e5]},".repeat(2000));
    let envelope = read(&format!(
        r#"{{"":{large},"version":2,"MSGID":{{"msgId":3}},"msgId ":null,"payloads":[{{"x":{large},"Size":-1,"type":"text","transport":"direct","data":""}}],"z":{large}}}"#
    ));
    assert_eq!((envelope.msg_id(), envelope.payload(0).unwrap().size()), ("", None));
    assert!(envelope.payload(0).unwrap().defect().is_none());
}

#[test]
fn keys_and_strings_may_hold_escapes() {
    let envelope = read(
        r#"{"\u006d\u0073gId":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t","sender\u004eame":"\u0000","payl\u006fads":[{"t\u0079pe":"te\u0078t",
        "tr\u0061nsport":"dir\u0065ct","d\u0061ta":"\u0053GVsbG8=\n","datan\u0061me":"a\/b"}]}"#,
    );
    assert_eq!(envelope.msg_id(), "é😀\"\\/\u{8}\u{c}\n\r\t");
    assert_eq!(envelope.sender_name(), "\0");
    let payload = envelope.payload(0).unwrap();
    assert_eq!((payload.dataname(), payload.decode().unwrap().text().unwrap()), ("a/b", "Hello"));
}

#[test]
fn a_value_of_the_wrong_type_for_a_top_level_key_fails_the_message_at_the_value() {
    for key in ["correlationId", "msg_id", "timestamp", "sendTo", "BrokerURL", "replyToMsgId"] {
        for value in ["1", "true", "{}", "[]", "[\"a\"]", "-0.5"] {
            let message = format!("{{\"{key}\": {value},\"payloads\":[]}}");
            assert_eq!(refused(message.as_bytes()), key.len() as u64 + 5, "{message}");
        }
    }
    for value in ["1", "true", "[]", "\"{}\""] {
        assert_eq!(refused(format!("{{\"metadata\":{value},\"payloads\":[]}}").as_bytes()), 12);
    }
    for value in ["1", "true", "{}", "\"[]\"", "null"] {
        assert_eq!(refused(format!("{{\"payloads\":{value}}}").as_bytes()), 12);
    }
}

#[test]
fn a_bad_payload_fails_alone_with_the_place_of_its_fault() {
    for (payload, offset) in [
        // What a payload needs: reported at its beginning.
        (r#"{}"#, 0),
        (r#"{"transport":"direct","data":""}"#, 0),
        (r#"{"type":"text","data":""}"#, 0),
        (r#"{"type":"text","transport":"direct"}"#, 0),
        (r#"{"type":null,"transport":"direct","data":""}"#, 0),
        (r#"{"type":"","transport":"direct","data":""}"#, 0),
        (r#"{"type":"text","transport":null,"data":""}"#, 0),
        (r#"{"type":"text","transport":"","data":""}"#, 0),
        (r#"{"type":"text","transport":"pigeon","data":""}"#, 0),
        (r#"{"type":"text","transport":"Direct","data":""}"#, 0),
        (r#"{"type":"text","transport":"direct","data":null}"#, 0),
        // Inline JSON where there may be none.
        (r#"{"type":"text","transport":"direct","data":{}}"#, 0),
        (r#"{"type":"binary","transport":"direct","data":[]}"#, 0),
        (r#"{"type":"Dictionary","transport":"direct","data":[]}"#, 0),
        (r#"{"type":"dictionary","transport":"link","data":{}}"#, 0),
        // What is no object, and values of the wrong type: at the value.
        ("7", 0),
        ("null", 0),
        ("\"text\"", 0),
        ("[{\"type\":1}]", 0),
        (r#"{"type":"dictionary","transport":"direct","data":7}"#, 49),
        (r#"{"type":"text","transport":"direct","data":true}"#, 43),
        (r#"{"type":7,"transport":"direct","data":""}"#, 8),
        (r#"{"type":"text","transport":{},"data":""}"#, 27),
        (r#"{"type":"text","transport":"direct","data":"","dataname":1}"#, 57),
        (r#"{"id":[],"type":"text","transport":"direct","data":""}"#, 6),
        (r#"{"encoding":false,"type":"text","transport":"direct","data":""}"#, 12),
        (r#"{"metadata":[],"type":"text","transport":"direct","data":""}"#, 12),
        (r#"{"metadata":"","type":"text","transport":"direct","data":""}"#, 12),
        (r#"{"size":"5","type":"text","transport":"direct","data":""}"#, 8),
        (r#"{"size": -1,"type":"text","transport":"direct","data":""}"#, 9),
        // The first of several faults.
        (r#"{"size":-1,"id":1,"type":"text","transport":"pigeon"}"#, 8),
    ] {
        assert_eq!(payload_refused(payload), offset, "{payload}");
    }
}

#[test]
fn a_size_is_judged_by_its_value() {
    for (size, value) in [
        ("0", Some(0)),
        ("-0", Some(0)),
        ("-0.0e9", Some(0)),
        ("12", Some(12)),
        ("12.0", Some(12)),
        ("1.2e1", Some(12)),
        ("1e3", Some(1000)),
        ("1E+3", Some(1000)),
        ("1000e-3", Some(1)),
        ("9223372036854775807", Some(i64::MAX as u64)),
        ("9.223372036854775807e18", Some(i64::MAX as u64)),
        ("0e99999999999999999999", Some(0)),
        ("null", None),
    ] {
        let message =
            format!(r#"{{"payloads":[{{"size":{size},"type":"text","transport":"direct","data":""}}]}}"#);
        let envelope = read(&message);
        assert!(envelope.payload(0).unwrap().defect().is_none(), "{size}");
        assert_eq!(envelope.payload(0).unwrap().size(), value, "{size}");
    }
    for size in [
        "1.5",
        "-1",
        "9223372036854775808",
        "1e19",
        "18446744073709551616",
        "1e-1",
        "\"12\"",
        "true",
        "[]",
        "{}",
        "1e400",
        "1e99999999999999999999",
        "-1e-99999999999999999999",
        "0.1",
        "9223372036854775807.5",
    ] {
        let payload = format!(r#"{{"size":{size},"type":"text","transport":"direct","data":""}}"#);
        assert_eq!(payload_refused(&payload), 8, "{size}");
    }
}

#[test]
fn broken_syntax_is_refused_at_the_byte_that_breaks_it() {
    for (message, offset) in [
        (&b""[..], 0),
        (b"  ", 2),
        (b"[]", 0),
        (b"\"{}\"", 0),
        (b"null", 0),
        (b"\xef\xbb\xbf{\"payloads\":[]}", 0),
        (b"\xff\xfe{\0}\0", 0),
        (b"{", 1),
        (b"{\"payloads\"", 11),
        (b"{\"payloads\":", 12),
        (b"{\"payloads\":[", 13),
        (b"{\"payloads\":[]", 14),
        (b"{\"payloads\":[],", 15),
        (b"{\"payloads\":[],}", 15),
        (b"{\"payloads\":[]]", 14),
        (b"{\"payloads\":[]} {}", 16),
        (b"{\"payloads\":[]}\0", 15),
        (b"{\"payloads\":[]},", 15),
        (b"{,\"payloads\":[]}", 1),
        (b"{\"payloads\":[,]}", 13),
        (b"{\"payloads\":[{},]}", 16),
        (b"{\"payloads\":[{}{}]}", 15),
        (b"{\"payloads\":[{,}]}", 14),
        (b"{\"payloads\":[{\"id\"}]}", 18),
        (b"{\"payloads\":[{\"id\":}]}", 19),
        (b"{\"payloads\" []}", 12),
        (b"{payloads:[]}", 1),
        (b"{'payloads':[]}", 1),
        (b"{\"payloads\":[]/* */}", 14),
        (b"{\"payloads\":[]// \n}", 14),
        (b"{1:2,\"payloads\":[]}", 1),
        (b"{\"x\":01,\"payloads\":[]}", 6),
        (b"{\"x\":+1,\"payloads\":[]}", 5),
        (b"{\"x\":.5,\"payloads\":[]}", 5),
        (b"{\"x\":NaN,\"payloads\":[]}", 5),
        (b"{\"x\":nul,\"payloads\":[]}", 5),
        (b"{\"x\":-,\"payloads\":[]}", 6),
        (b"{\"x\":1.,\"payloads\":[]}", 7),
        (b"{\"x\":1e+,\"payloads\":[]}", 8),
        (b"{\"msgId\":\"a\nb\",\"payloads\":[]}", 11),
        (b"{\"msgId\":\"a\\x\",\"payloads\":[]}", 11),
        (b"{\"msgId\":\"\\ud83d\",\"payloads\":[]}", 10),
        (b"{\"msgId\":\"ab\\ude00\",\"payloads\":[]}", 12),
        (b"{\"msgId\":\"\\u12g4\",\"payloads\":[]}", 10),
        (b"{\"msgId\":\"a\xff\",\"payloads\":[]}", 11),
        (b"{\"x\":[\"\xc3\"],\"payloads\":[]}", 7),
        (b"{\"\xc0\xaf\":1,\"payloads\":[]}", 2),
        (b"{\"x\":\"\xed\xa0\xbd\xed\xb8\x80\",\"payloads\":[]}", 6),
        (b"{\"payloads\":[{\"data\":\"\xf5\"}]}", 22),
        (b"{\"payloads\":[],\"msgId\":\"", 24),
        (b"{\"payloads\":[],\"msgId\":\"\\", 24),
        (b"{\"msgId\":\"\"}", 12),
        (b"{\xc2\xa0\"payloads\":[]}", 1),
        (b"{\x0c\"payloads\":[]}", 1),
    ] {
        assert_eq!(refused(message), offset, "{:?}", String::from_utf8_lossy(message));
    }
}

#[test]
fn white_space_is_allowed_around_every_token() {
    let tokens = r#"{ "msgId" : "a" , "payloads" : [ { "type" : "text" , "transport" : "direct" , "size" : 1 , "data" : "QQ==" } , 7 ] }"#;
    for space in ["", " ", "\t", "\n", "\r", " \r\n\t "] {
        let message = format!("{space}{}{space}", tokens.replace(' ', space));
        let envelope = read(&message);
        assert_eq!((envelope.msg_id(), envelope.payload_count()), ("a", 2));
        assert_eq!(envelope.payload(0).unwrap().decode().unwrap().text().unwrap(), "A");
    }
}

#[test]
fn nesting_is_counted_from_the_outermost_object_everywhere() {
    let nest = |depth: usize, inner: &str| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    // Each place with the depth at which its value stands.
    for (before, after, depth) in [
        ("{\"x\":", ",\"payloads\":[]}", 2),
        ("{\"payloads\":[],\"x\":[0,", "]}", 3),
        ("{\"metadata\":{\"a\":", "},\"payloads\":[]}", 3),
        ("{\"payloads\":[", "]}", 3),
        ("{\"payloads\":[{\"x\":", "}]}", 4),
        ("{\"payloads\":[{\"type\":\"dictionary\",\"transport\":\"direct\",\"data\":", "}]}", 4),
        ("{\"payloads\":[{\"size\":", "}]}", 4),
        ("{\"payloads\":[{\"metadata\":{\"a\":", "}}]}", 5),
    ] {
        let room = 128 - depth + 1;
        for value in [nest(room, ""), nest(room, "\"deep\""), nest(room, "-1.5"), objects(room)] {
            read(&format!("{before}{value}{after}"));
        }
        for value in [nest(room + 1, ""), objects(room + 1), nest(50_000, "")] {
            let offset = refused(format!("{before}{value}{after}").as_bytes()) as usize;
            let step = if value.starts_with('[') { 1 } else { 5 };
            assert_eq!(offset, before.len() + room * step, "{before}…{after}");
        }
    }
}

#[test]
fn limits_are_kept_with_what_was_needed_and_what_is_allowed() {
    let message = r#"{"payloads":[{},{},{}]}"#;
    let read = |limits: &Limits| Envelope::decode_with(message.as_bytes(), limits);
    let limits = Limits::default();
    assert_eq!(read(&limits.payload_count(3).message_len(message.len())).unwrap().payload_count(), 3);
    let error = read(&limits.payload_count(2)).unwrap_err();
    assert_eq!(
        (error.kind(), error.needed(), error.limit(), error.offset()),
        (ErrorKind::LimitExceeded, Some(3), Some(2), Some(19))
    );
    let error = read(&limits.message_len(message.len() - 1)).unwrap_err();
    assert_eq!((error.kind(), error.needed(), error.limit()), (ErrorKind::LimitExceeded, Some(23), Some(22)));
    assert_eq!(read(&limits.payload_count(0)).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert!(Envelope::decode_with(r#"{"payloads":[]}"#.as_bytes(), &limits.payload_count(0)).is_ok());
}

#[test]
fn many_payloads_keep_their_order() {
    let payloads: Vec<_> = (0..4096).map(|n| format!(r#"{{"dataname":"{n}"}}"#)).collect();
    let envelope = Envelope::decode(format!("{{\"payloads\":[{}]}}", payloads.join(","))).unwrap();
    for (n, payload) in envelope.payloads().enumerate() {
        assert_eq!((payload.index(), payload.dataname()), (n, n.to_string().as_str()));
    }
    assert_eq!(envelope.payloads().len(), 4096);
}

#[test]
fn errors_and_debug_output_show_no_payload_data_and_no_link() {
    let envelope = read(
        r#"{"payloads":[{"type":"text","transport":"direct","data":"c2VjcmV0"},{"type":"x","transport":"link","data":"http://h/secret"},{"type":"text","transport":"direct","data":"secret*"}]}"#,
    );
    let error = envelope.payload(2).unwrap().decode().unwrap_err();
    let shown = format!(
        "{envelope:?} {:?} {:?} {:?} {error:?} {error} {:?}",
        envelope.payload(0).unwrap(),
        envelope.payload(0).unwrap().content(),
        envelope.payload(1).unwrap().content(),
        envelope.payload(0).unwrap().decode(),
    );
    assert!(!shown.contains("secret") && !shown.contains("c2Vj"), "{shown}");
}

#[test]
fn a_timestamp_is_text_and_is_read_leniently_on_demand() {
    for (text, millis) in [
        ("2026-02-22T14:15:24.250Z", Some(1_771_769_724_250)),
        ("2026-02-22T14:15:24.25", Some(1_771_769_724_250)),
        ("2026-02-22T14:15:24", Some(1_771_769_724_000)),
        ("2026-02-22T16:15:24.250999999+02:00", Some(1_771_769_724_250)),
        ("2026-02-22T09:45:24.250-04:30", Some(1_771_769_724_250)),
        ("yesterday", None),
        ("2026-02-30T14:15:24Z", None),
        ("", None),
    ] {
        let envelope = read(&format!(r#"{{"timestamp":"{text}","payloads":[]}}"#));
        let since =
            envelope.sent_at().map(|time| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis());
        assert_eq!((envelope.timestamp(), since), (text, millis));
    }
}
