//! Raw bytes to values, by the payload's type (SPEC `TYPE`, `VER-2`).

use std::collections::BTreeMap;

use natsbridge::{Envelope, ErrorKind, Payload, PayloadData, PayloadType};

const ALL: [PayloadType; 9] = [
    PayloadType::Text,
    PayloadType::Dictionary,
    PayloadType::Table,
    PayloadType::JsonTable,
    PayloadType::Image,
    PayloadType::Audio,
    PayloadType::Video,
    PayloadType::Binary,
    PayloadType::Other,
];

fn data(payload_type: PayloadType, bytes: &[u8]) -> PayloadData {
    PayloadData::new(payload_type, bytes.to_vec(), None, 4)
}

#[test]
fn text_is_utf_8_or_an_error_at_the_first_byte_that_is_not() {
    assert_eq!(data(PayloadType::Text, "Grüße\0\u{feff}".as_bytes()).text().unwrap(), "Grüße\0\u{feff}");
    assert_eq!(data(PayloadType::Text, b"").text().unwrap(), "");
    for (bytes, offset) in [
        (&b"\xff"[..], 0),
        (b"ab\xc3", 2),
        (b"\xc3\xa9\xc3(", 2),
        (b"a\xed\xa0\x80", 1),
        (b"\xf0\x9f\x98", 0),
        (b"abc\xc0\x80", 3),
        (b"\xf4\x90\x80\x80", 0),
    ] {
        let payload = data(PayloadType::Text, bytes);
        let error = payload.text().unwrap_err();
        assert_eq!(
            (error.kind(), error.offset(), error.payload()),
            (ErrorKind::InvalidText, Some(offset), Some(4))
        );
        assert_eq!(payload.bytes(), bytes, "the bytes themselves can be had");
    }
}

#[test]
fn a_getter_of_another_type_is_the_callers_mistake() {
    for payload_type in ALL {
        let payload = data(payload_type, b"[]");
        assert_eq!(payload.bytes(), "[]");
        let wrong =
            |error: natsbridge::Error| (error.kind(), error.payload()) == (ErrorKind::WrongType, Some(4));
        assert_eq!(payload.text().is_ok(), payload_type == PayloadType::Text);
        assert!(payload.text().map_or_else(wrong, |_| true));
        let json =
            [PayloadType::Dictionary, PayloadType::JsonTable, PayloadType::Table].contains(&payload_type);
        assert_eq!(payload.json_value().is_ok(), json, "{payload_type:?}");
        assert!(payload.json_value().map_or_else(wrong, |_| true));
        assert!(payload.json_text().map_or_else(wrong, |_| true));
        assert_eq!(payload.is_json_rows(), json && payload_type != PayloadType::Dictionary);
    }
    assert_eq!(data(PayloadType::Table, b"ARROW1").json_value().unwrap_err().kind(), ErrorKind::WrongType);
}

#[cfg(feature = "table")]
#[test]
fn only_tables_have_record_batches_and_json_rows_have_none() {
    for payload_type in ALL.into_iter().filter(|payload_type| *payload_type != PayloadType::Table) {
        assert_eq!(data(payload_type, b"").record_batches().unwrap_err().kind(), ErrorKind::WrongType);
    }
    assert_eq!(data(PayloadType::Table, b" [{}]").record_batches().unwrap_err().kind(), ErrorKind::WrongType);
    assert_eq!(
        data(PayloadType::Table, b"rubbish, not Arrow").record_batches().unwrap_err().kind(),
        ErrorKind::InvalidTable
    );
}

#[test]
fn type_names_are_compared_exactly_and_unknown_ones_kept() {
    for (name, expected) in [
        ("text", PayloadType::Text),
        ("dictionary", PayloadType::Dictionary),
        ("table", PayloadType::Table),
        ("arrowtable", PayloadType::Table),
        ("jsontable", PayloadType::JsonTable),
        ("image", PayloadType::Image),
        ("audio", PayloadType::Audio),
        ("video", PayloadType::Video),
        ("binary", PayloadType::Binary),
        ("Text", PayloadType::Other),
        ("text ", PayloadType::Other),
        ("hologram", PayloadType::Other),
    ] {
        let message = format!(r#"{{"payloads":[{{"type":"{name}","transport":"direct","data":"W10="}}]}}"#);
        let envelope = Envelope::decode(message).unwrap();
        let payload = envelope.payload(0).unwrap();
        assert_eq!((payload.type_name(), payload.payload_type()), (name, expected));
        assert_eq!(payload.decode().unwrap().bytes(), "[]");
    }
}

#[test]
fn a_wrong_size_is_reported_and_is_no_error() {
    for (size, reported) in [
        ("5", None),
        ("5.0", None),
        ("4", Some(4)),
        ("0", Some(0)),
        ("9223372036854775807", Some(i64::MAX as u64)),
        ("null", None),
    ] {
        let message = format!(
            r#"{{"payloads":[{{"type":"text","size":{size},"transport":"direct","data":"SGVsbG8="}}]}}"#
        );
        let payload = Envelope::decode(message).unwrap().payload(0).unwrap().decode().unwrap();
        assert_eq!((payload.text().unwrap(), payload.size_mismatch()), ("Hello", reported), "{size}");
    }
}

#[test]
fn a_dictionary_is_any_json_value_in_the_callers_type() {
    let payload = data(PayloadType::Dictionary, br#" {"a":[1,2],"b":[],"a":[3]} "#);
    assert_eq!(
        payload.json::<BTreeMap<String, Vec<u8>>>().unwrap(),
        BTreeMap::from([("a".into(), vec![3]), ("b".into(), vec![])])
    );
    assert_eq!(payload.json_text().unwrap(), r#" {"a":[1,2],"b":[],"a":[3]} "#);
    let error = payload.json::<Vec<u8>>().unwrap_err();
    assert_eq!((error.kind(), error.offset(), error.payload()), (ErrorKind::InvalidJson, None, Some(4)));
    for (json, value) in [("null", None), ("7", Some(7)), (" 7\n", Some(7))] {
        assert_eq!(data(PayloadType::Dictionary, json.as_bytes()).json::<Option<u8>>().unwrap(), value);
    }
    assert_eq!(data(PayloadType::Dictionary, br#""\u00e9""#).json::<String>().unwrap(), "é");
}

#[test]
fn numbers_of_a_dictionary_are_exact_or_the_nearest_or_an_error() {
    let value = |text: &str| data(PayloadType::Dictionary, text.as_bytes()).json_value();
    for (text, expected) in [
        ("18446744073709551615", serde_json::json!(u64::MAX)),
        ("-9223372036854775808", serde_json::json!(i64::MIN)),
        ("9007199254740993", serde_json::json!(9_007_199_254_740_993_u64)),
        ("18446744073709551616", serde_json::json!(18446744073709551616.0)),
        ("1.0", serde_json::json!(1.0)),
        ("1e2", serde_json::json!(100.0)),
        ("1e-999", serde_json::json!(0.0)),
        ("9007199254740993.0", serde_json::json!(9_007_199_254_740_992.0)),
        ("179769313486231580793728971405301e276", serde_json::json!(f64::MAX)),
        ("4.9406564584124654e-324", serde_json::json!(5e-324)),
        ("2.4703282292062327e-324", serde_json::json!(0.0)),
        ("2.4703282292062328e-324", serde_json::json!(5e-324)),
        ("1.7976931348623158e308", serde_json::json!(f64::MAX)),
    ] {
        assert_eq!(value(text).unwrap(), expected, "{text}");
        crate::properties::dictionary(text.as_bytes());
        crate::properties::dictionary(format!("[{text},-{}]", text.trim_start_matches('-')).as_bytes());
    }
    for text in [
        "1e309",
        "-1e309",
        "1.7976931348623159e308",
        &"9".repeat(400),
        &format!("1{}e-10", "0".repeat(330)),
        "1e2147483648",
    ] {
        let error = value(&format!("[0,{text}]")).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::InvalidJson, Some(3)), "{text}");
        crate::properties::dictionary(text.as_bytes());
    }
}

#[test]
fn the_depth_of_a_payload_counts_from_its_own_outermost_value() {
    for (depth, ok) in [(1, true), (128, true), (129, false), (1_000_000, false)] {
        for text in
            ["[".repeat(depth) + &"]".repeat(depth), "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)]
        {
            let payload = data(PayloadType::Dictionary, text.as_bytes());
            assert_eq!(payload.json_text().is_ok(), ok, "{depth}");
            assert_eq!(payload.json_value().is_ok(), ok, "{depth}");
        }
        let rows = format!("[{}1{}]", "{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
        assert_eq!(
            data(PayloadType::JsonTable, rows.as_bytes()).json_value().is_ok(),
            ok && depth > 1,
            "{depth}"
        );
    }
}

#[test]
fn json_rows_are_an_array_of_objects_under_either_name() {
    for payload_type in [PayloadType::JsonTable, PayloadType::Table] {
        for json in ["[]", " \n[ ]", r#"[{"id":1,"score":95.5},{"id":2,"score":null}]"#] {
            let payload = data(payload_type, json.as_bytes());
            assert!(payload.is_json_rows());
            assert_eq!(payload.json_text().unwrap(), json);
            assert!(payload.json_value().unwrap().is_array());
        }
        for (json, offset) in
            [("[1]", 1), ("[{},null]", 4), ("[[]]", 1), ("[{},]", 4), ("[{}", 3), (r#"[{"a":1e400}]"#, 6)]
        {
            let error = data(payload_type, json.as_bytes()).json_value().unwrap_err();
            assert_eq!(
                (error.kind(), error.offset(), error.payload()),
                (ErrorKind::InvalidJson, Some(offset), Some(4)),
                "{json}"
            );
        }
    }
    for json in ["{}", "null", "\"[]\"", ""] {
        assert_eq!(data(PayloadType::JsonTable, json.as_bytes()).json_value().unwrap_err().offset(), Some(0));
    }
}

#[test]
fn what_a_reader_would_refuse_cannot_be_made_into_a_payload() {
    let refused = |made: natsbridge::Result<Payload>, offset| {
        let error = made.unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::InvalidInput, offset));
    };
    refused(Payload::dictionary_json("d", "{\"a\":1e400}"), Some(5));
    refused(Payload::dictionary_json("d", "[1,]"), Some(3));
    refused(Payload::json_table("d", &[1, 2]), Some(1));
    refused(Payload::json_table("d", &BTreeMap::from([("a", 1)])), Some(0));
    refused(Payload::other("jsontable", "d", "[[]]"), Some(1));
    refused(Payload::other("text", "d", b"a\xff".as_slice()), Some(1));
    refused(Payload::other("dictionary", "d", ""), Some(0));
    refused(Payload::other("", "d", "x"), None);
    assert_eq!(Payload::json_table("d", &[BTreeMap::from([("a", 1)])]).unwrap().chunks()[0], r#"[{"a":1}]"#);
    assert_eq!(Payload::dictionary("d", &[f64::NAN, f64::INFINITY]).unwrap().chunks()[0], "[null,null]");
    assert_eq!(Payload::other("hologram", "d", "x").unwrap().type_name(), "hologram");
}
