//! JSON that stands in `data` itself, and the places of errors in `data` with escapes (SPEC `DATA`, `B64-6`).

use natsbridge::{Content, Envelope, ErrorKind, PayloadData};

const INLINE_TYPES: [&str; 4] = ["dictionary", "table", "arrowtable", "jsontable"];

fn message(type_name: &str, data: &str) -> String {
    format!(r#"{{"payloads":[{{"type":"{type_name}","transport":"direct","size":3,"data":{data}}}]}}"#)
}

fn envelope(type_name: &str, data: &str) -> Envelope {
    let message = message(type_name, data);
    crate::properties::envelope_differential(message.as_bytes());
    Envelope::decode(message).unwrap()
}

fn decode(type_name: &str, data: &str) -> natsbridge::Result<PayloadData> {
    envelope(type_name, data).payload(0).unwrap().decode()
}

#[test]
fn an_object_or_array_is_taken_as_its_exact_slice_of_the_message() {
    for type_name in INLINE_TYPES {
        for data in ["[]", "{}", r#"[ {"a" : 1.50, "a":"\u00e9\/" } ]"#, "{\n\t\"b\":[null]\r\n}"] {
            let decoded = decode(type_name, &format!(" {data} ")).unwrap();
            assert_eq!(decoded.bytes(), data);
            assert_eq!(decoded.size_mismatch(), Some(3), "the size speaks of the slice");
        }
        assert_eq!(decode(type_name, "[1]").unwrap().size_mismatch(), None);
    }
}

#[test]
fn json_text_in_a_string_is_taken_with_its_escapes_resolved() {
    for type_name in INLINE_TYPES {
        for (data, bytes) in [
            (r#""[]""#, "[]"),
            (r#""{\"a\":\"\\n\"}""#, r#"{"a":"\n"}"#),
            (r#"" \n\r\t [1]""#, " \n\r\t [1]"),
            (r#""\u005b\u0031]""#, "[1]"),
            (r#""\u0020\u000a\u007b}""#, " \n{}"),
            (r#""{\"é\":\"\ud83d\ude00\"}""#, r#"{"é":"😀"}"#),
            // Not looked at more closely than the first byte before somebody reads it.
            (r#""[not JSON""#, "[not JSON"),
        ] {
            assert!(
                matches!(envelope(type_name, data).payload(0).unwrap().content(), Ok(Content::Json(json)) if json == bytes)
            );
            assert_eq!(decode(type_name, data).unwrap().bytes(), bytes, "{data}");
        }
    }
}

#[test]
fn what_begins_otherwise_is_base64_for_these_types_too() {
    for type_name in INLINE_TYPES {
        assert_eq!(decode(type_name, r#""W10=""#).unwrap().bytes(), "[]");
        assert_eq!(decode(type_name, r#""""#).unwrap().bytes(), "");
        assert_eq!(decode(type_name, r#""null""#).unwrap().bytes().len(), 3, "four characters of base64");
        for data in
            [r#"" ""#, r#"" \n""#, r#""\"text\"""#, "\"\u{a0}[]\"", r#""\f[]""#, r#""\u00a0[]""#, r#""\/[]""#]
        {
            assert_eq!(decode(type_name, data).unwrap_err().kind(), ErrorKind::InvalidBase64, "{data}");
        }
    }
}

#[test]
fn other_types_have_no_inline_json() {
    for type_name in ["text", "image", "audio", "video", "binary", "Dictionary", "json", "tables"] {
        for data in ["{}", "[]"] {
            assert_eq!(decode(type_name, data).unwrap_err().kind(), ErrorKind::InvalidPayload);
        }
        assert_eq!(decode(type_name, r#""[]""#).unwrap_err().kind(), ErrorKind::InvalidBase64);
    }
}

#[test]
fn the_type_decides_never_the_encoding() {
    for encoding in ["json", "base64", "arrow-ipc", "none", "", "x"] {
        let entry = |type_name: &str, data: &str| {
            let message = format!(
                r#"{{"payloads":[{{"encoding":"{encoding}","type":"{type_name}","transport":"direct","data":{data}}}]}}"#
            );
            Envelope::decode(message).unwrap().payload(0).unwrap().decode().unwrap().into_bytes()
        };
        assert_eq!(entry("text", r#""QUJD""#), "ABC");
        assert_eq!(entry("dictionary", r#""W10=""#), "[]");
        assert_eq!(entry("dictionary", r#""[]""#), "[]");
        assert_eq!(entry("jsontable", "[]"), "[]");
    }
}

#[test]
fn some_json_writers_escape_slashes_and_micropython_ends_with_a_newline() {
    assert_eq!(decode("binary", r#""+\/8=""#).unwrap().bytes().as_ref(), b"\xfb\xff");
    assert_eq!(decode("binary", r#""\/\/\/\/\n""#).unwrap().bytes().as_ref(), b"\xff\xff\xff");
    assert_eq!(decode("text", r#""QQ==\r\n""#).unwrap().text().unwrap(), "A");
    assert_eq!(decode("text", r#""QQ\u003d=\u000A""#).unwrap().text().unwrap(), "A");
    let link =
        r#"{"payloads":[{"type":"x","transport":"link","data":"http:\/\/localhost:8080\/file\/\u0061 b"}]}"#;
    let envelope = Envelope::decode(link).unwrap();
    assert!(
        matches!(envelope.payload(0).unwrap().content(), Ok(Content::Link(url)) if url == "http://localhost:8080/file/a b")
    );
    assert_eq!(envelope.payload(0).unwrap().decode().unwrap_err().kind(), ErrorKind::WrongType);
}

#[test]
fn an_error_in_base64_is_placed_in_the_message_before_its_escapes_are_resolved() {
    for (data, at) in [
        (r#""QU*D""#, 2),
        (r#""\/\/*D""#, 4),
        (r#""\u0051\u0051\u0051*""#, 18),
        (r#""QQ\u002aQ""#, 2),
        (r#""\/\u002A\/""#, 2),
        (r#""QQ==\n\n""#, 6),
        (r#""QQ==\nA""#, 6),
        (r#""\/\/8=\t""#, 6),
        (r#""\/\u005f""#, 2),
        (r#""A\u00e9A""#, 1),
        (r#""AA\ud83d\ude00""#, 2),
        (r#""\/A=""#, 4), // where the string ends too early: its closing quote
        (r#""Q""#, 1),
        (r#""\u0051""#, 6),
        ("\"QQé\"", 2),
    ] {
        let error = decode("binary", data).unwrap_err();
        let start = message("binary", data).find(data).unwrap() as u64 + 1;
        assert_eq!(
            (error.kind(), error.offset(), error.payload()),
            (ErrorKind::InvalidBase64, Some(start + at), Some(0)),
            "{data}"
        );
    }
}

#[test]
fn escaped_base64_is_read_as_its_plain_form_would_be() {
    for len in 0..100 {
        let bytes: Vec<u8> = (0..len).map(|n| (n * 37 + 250) as u8).collect();
        let text = crate::oracle::base64::encode(&bytes);
        let slashes = text.replace('/', "\\/");
        let all: String = text.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
        for data in [&text, &slashes, &all] {
            assert_eq!(decode("binary", &format!("\"{data}\"")).unwrap().bytes(), &bytes);
        }
    }
}
