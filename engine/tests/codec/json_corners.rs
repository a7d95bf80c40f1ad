//! The corners of JSON: what every reader must accept, must refuse, and what this format decides (SPEC `ENV-R1`,
//! `TYPE-4`). Each text is tried as a dictionary, inside metadata and inside an unknown key that is skipped.

use bytes::Bytes;
use natsbridge::{Envelope, PayloadData, PayloadType};

use crate::properties;

#[rustfmt::skip] // one a line would be long and no clearer
const VALID: &[&[u8]] = &[
    // structure and white space
    b"[]", b"{}", b"[[]]", b"[{}]", b"{\"a\":{}}", b"{\"a\":[]}", b"[[],{},[[]]]", b" []", b"[] ",
    b"\t[\n]\r", b" { \"a\" : 1 , \"b\" : 2 } ", b"[1,2]", b"[\n1\n,\n2\n]", b"\r\n\t 1 \r\n\t",
    b"{\"\":0}", b"{\"\":{\"\":{\"\":[]}}}", b"[null, 1, \"1\", {}]", b"[1,null,null,null,2]",
    b"{\"a\":\"b\",\"c\":null}", b"[[[[[[[[[[]]]]]]]]]]",
    // repeated and odd keys
    b"{\"a\":1,\"a\":2}", b"{\"a\":{},\"a\":[]}", b"{\"\\u0061\":1,\"a\":2}", b"{\"a\\u0000b\":1}",
    b"{\"\xc3\xa9\":1}", b"{\"__proto__\":{}}", b"{\"a\":[],\"a\":null,\"a\":false}",
    b"{\"min\":-1.0e+28,\"max\":1.0e+28}", b"{\"\\\"\":0}",
    // words
    b"null", b"true", b"false", b"[true,false,null]", b" null ",
    // numbers
    b"0", b"-0", b"1", b"-1", b"10", b"123456789", b"-123", b"0.0", b"-0.0", b"0.5", b"-0.5", b"1.000",
    b"0e0", b"0e1", b"0E+1", b"0E-1", b"1e1", b"1E1", b"1e+1", b"1e-1", b"1.5e10", b"1.5E-10", b"-1.5e0",
    b"1e00", b"1e-00005", b"123e65", b"1e308", b"1e-400", b"123.456e78", b"9223372036854775807",
    b"-9223372036854775808", b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809",
    b"100000000000000000000000000000000",
    b"0.00000000000000000000000000000000000000000000000000000000000000000000001", b"20e1", b"[1,-1,0,-0]",
    // strings
    b"\"\"", b"\" \"", b"\"a\"", b"\"/\"", b"\"\\/\"", b"\"\\\\\"", b"\"\\\"\"", b"\"\\b\\f\\n\\r\\t\"",
    b"\"\\u0000\"", b"\"\\u00E9\\u00e9\"", b"\"\\ud83d\\ude00\"", b"\"\\uDBFF\\uDFFF\"",
    b"\"\\uD800\\uDC00\"", b"\"\x7f\"", b"\"\xc2\x80\"", b"\"\xe2\x80\xa8\xe2\x80\xa9\"",
    b"\"\xef\xbb\xbf\"", b"\"\xef\xbf\xbf\"", b"\"\xf4\x8f\xbf\xbf\"", b"\"\xf0\x9f\x98\x80\"",
    b"\"\\u005C\\u0022\"", b"\"a/*b*/c\"",
];

/// Valid as JSON, but no f64: refused where values are read, skipped and kept elsewhere.
#[rustfmt::skip] // one a line would be long and no clearer
const OVERFLOWING: &[&[u8]] = &[
    b"1e309", b"-1e309", b"1e400", b"[1e999]", b"{\"a\":123123e100000}", b"-1E+9999999999", b"0.4e669",
    b"[0,[\"1e1\",1e1000]]",
];

#[rustfmt::skip] // one a line would be long and no clearer
const INVALID: &[&[u8]] = &[
    // nothing, too little, too much
    b"", b" ", b"[", b"{", b"]", b"}", b"[]]", b"{}}", b"[[]", b"[1", b"[1,", b"[1,]", b"[,1]", b"[,]",
    b"[1,,2]", b"[1 2]", b"[1 true]", b"[\"a\" \"b\"]", b"[\"a\",", b"[\"a\"", b"1 2", b"[] []", b"{} {}",
    b"[1}", b"{\"a\":1]", b"[{]}", b"{[}]", b"\"a\" \"b\"", b"[][]", b"[1]x", b"[\x00]", b"[1]\x00", b"nul",
    b"[nul]", b"tru", b"[fals]", b"True", b"NULL", b"nulll", b"[truefalse]", b"undefined", b"None",
    // objects
    b"{\"a\"}", b"{\"a\":}", b"{\"a\" 1}", b"{\"a\":1,}", b"{\"a\":1,,\"b\":2}", b"{,}", b"{,\"a\":1}",
    b"{\"a\"", b"{\"a\":", b"{\"a\":1", b"{\"a\":1 \"b\":2}", b"{\"a\",\"b\"}", b"{\"a\"::1}",
    b"{\"a\":1:2}", b"{a:1}", b"{'a':1}", b"{1:1}", b"{null:1}", b"{[]:1}", b"{{}:1}", b"{\"a\":1;\"b\":2}",
    b"{\"a\"=1}", b"{\"a\":a}", b"{\"a\":\"b}", b"{\"a\":'b'}", b"{1}", b"{\"a\":1}#", b"{\"a\\x\":1}",
    b"{\"\\ud800\":1}",
    // numbers
    b"01", b"-01", b"00", b"+1", b"++1", b"--1", b"-", b"- 1", b".5", b"-.5", b"1.", b"1.e1", b"0.e1",
    b"1e", b"1e+", b"1e-", b"1E", b"e1", b"1e1.5", b"1.2.3", b"1 000", b"1_000", b"1,0", b"0x1F", b"1a",
    b"1f", b"Infinity", b"-Infinity", b"NaN", b"-NaN", b"nan", b"inf", b"1eE2", b"1+2", b"2.e3", b"-2.",
    b"0.1.2", b"1e0e", b"[-foo]", b"[1\xe5]", b"\xef\xbc\x91", b"0e", b"-a", b"[1.8011670033376514H-308]",
    // strings
    b"\"", b"\"a", b"a\"", b"'a'", b"\"a\nb\"", b"\"a\tb\"", b"\"\x00\"", b"\"\x1f\"", b"\"\\\"", b"\"\\",
    b"\"\\x00\"", b"\"\\a\"", b"\"\\'\"", b"\"\\0\"", b"\"\\U0041\"", b"\"\\u\"", b"\"\\u12\"",
    b"\"\\u12G4\"", b"\"\\u-123\"", b"\"\\u 123\"", b"\"\\u+123\"", b"\"\\ \"",
    // lone surrogates
    b"\"\\ud800\"", b"\"\\udc00\"", b"\"\\ud800\\ud800\"", b"\"\\ud800a\"", b"\"\\ud800\\n\"",
    b"\"\\ude00\\ud83d\"", b"\"\\ud83d\\u0041\"", b"\"\\ud83d\\u\"", b"\"\\ud83d\\\\ude00\"",
];

/// Invalid UTF-8, comments, byte order marks and other spellings of white space.
#[rustfmt::skip] // one a line would be long and no clearer
const INVALID_BYTES: &[&[u8]] = &[
    b"\"\xff\"", b"\"\x80\"", b"\"\xc3\"", b"\"\xc3(\"", b"\"\xc0\x80\"", b"\"\xc1\xbf\"",
    b"\"\xe0\x80\x80\"", b"\"\xe2\x82\"", b"\"\xed\xa0\x80\"", b"\"\xed\xbf\xbf\"", b"\"\xf0\x80\x80\x80\"",
    b"\"\xf4\x90\x80\x80\"", b"\"\xf5\x80\x80\x80\"", b"\"\xf8\x88\x80\x80\x80\"", b"\"\xfc\"", b"[\xff]",
    b"\xe9", b"{\"\xff\":1}", b"\xef\xbb\xbf[]", b"\xef\xbb[]", b"[]\xef\xbb\xbf", b"\xff\xfe[\x00]\x00",
    b"\x00[\x00]", b"// a\n[]", b"[] // a", b"/* a */[]", b"[/**/]", b"# a\n[]", b"\x0c[]", b"\x0b[]",
    b"\xc2\xa0[]", b"\xe2\x80\xa8[]",
];

fn dictionary(text: &[u8]) -> PayloadData {
    properties::dictionary(text);
    PayloadData::new(PayloadType::Dictionary, Bytes::copy_from_slice(text), None, 0)
}

fn embedded(before: &[u8], text: &[u8], after: &[u8]) -> Option<Envelope> {
    let message = [before, text, after].concat();
    properties::envelope_differential(&message);
    Envelope::decode(message).ok()
}

/// Whether the text is accepted: as a dictionary's text, as a dictionary's value, in metadata, as a value of metadata,
/// and where it is skipped.
fn accepted(text: &[u8]) -> [bool; 5] {
    let data = dictionary(text);
    let metadata = embedded(b"{\"metadata\":{\"k\":", text, b"},\"payloads\":[]}");
    let entry = embedded(b"{\"payloads\":[{\"metadata\":{\"k\":", text, b"}}]}");
    assert_eq!(metadata.is_some(), entry.is_some());
    let value = metadata.as_ref().map(|envelope| envelope.metadata().get::<serde_json::Value>("k"));
    let skipped = embedded(b"{\"payloads\":[],\"x\":", text, b"}").is_some();
    assert_eq!(skipped, embedded(b"{\"payloads\":[{\"x\":", text, b"}]}").is_some());
    [
        data.json_text().is_ok(),
        data.json_value().is_ok(),
        metadata.is_some(),
        value.flatten().is_some(),
        skipped,
    ]
}

#[test]
fn valid_texts_are_accepted_everywhere() {
    for text in VALID {
        assert_eq!(accepted(text), [true; 5], "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn numbers_beyond_a_float_are_refused_only_where_values_are_read() {
    for text in OVERFLOWING {
        assert_eq!(accepted(text), [false, false, true, false, true], "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn invalid_texts_are_refused_everywhere() {
    for text in INVALID.iter().chain(INVALID_BYTES) {
        assert_eq!(accepted(text), [false; 5], "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn every_prefix_of_a_valid_text_that_is_no_number_is_refused() {
    let text = br#"{"a":[1.5e-3,"\u00e9\ud83d\ude00\\",true,null,{"b":{}}],"c":"Gr\u00fc\u00dfe"}"#;
    assert_eq!(accepted(text), [true; 5]);
    for len in 0..text.len() {
        assert_eq!(accepted(&text[..len]), [false; 5], "{len}");
    }
}

#[test]
fn every_byte_in_every_place_of_a_small_text_is_judged_as_the_oracle_judges_it() {
    let text = br#"{"payloads":[{"type":"a\u0041","size":1.0e1,"x":[null,-0]}],"msgId":"\ud83d\ude00"}"#;
    for at in 0..text.len() {
        let mut changed = text.to_vec();
        for byte in 0..=255 {
            changed[at] = byte;
            properties::envelope_differential(&changed);
        }
        changed.remove(at);
        properties::envelope_differential(&changed);
    }
}

#[test]
fn long_strings_are_judged_the_same_at_every_length_and_alignment() {
    for len in 0..200 {
        for (special, ok) in [
            ("", true),
            ("é", true),
            ("\\n", true),
            ("\\u00e9", true),
            ("\n", false),
            ("\u{7f}", true),
            ("\u{1f}", false),
        ] {
            for at in [0, len / 2, len] {
                let text = format!("\"{}{special}{}\"", "x".repeat(at), "y".repeat(len - at));
                assert_eq!(dictionary(text.as_bytes()).json_text().is_ok(), ok, "{text:?}");
            }
        }
    }
}

#[test]
fn the_longest_run_of_brackets_costs_no_stack() {
    for text in ["[".repeat(3_000_000), "{\"a\":".repeat(600_000), "[{\"a\":".repeat(500_000)] {
        let data = PayloadData::new(PayloadType::Dictionary, text.clone(), None, 0);
        assert!(data.json_text().is_err() && data.json_value().is_err());
        assert!(Envelope::decode(format!("{{\"x\":{text}")).is_err());
    }
}

#[test]
fn hostile_shapes_take_time_in_proportion_to_their_length() {
    const LEN: usize = 1 << 19;
    let filled = |piece: &str| piece.repeat(LEN / piece.len());
    let keys: Vec<_> = (0..LEN / 16).map(|n| format!("\"k{n}\":{n}")).collect();
    let values = [
        format!("\"{}\"", filled("\\n")),
        format!("\"{}\"", filled("\\u0041")),
        format!("\"{}\"", filled("é")),
        format!("[{}0]", filled("[],")),
        format!("[{}0]", filled("0,")),
        format!("[{}0]", filled("1e5,")),
        format!("[{}0]", filled("{\"a\":1,\"a\":1},")),
        format!("{{{}}}", keys.join(",")),
        format!("{{{}\"a\":0}}", filled("\"\\u0061\":0,")),
        format!("{}1", filled(" ")),
        format!("0.{}", filled("1")),
        format!("0.{}1e-1", filled("0")),
        format!("[{}{}]", "9".repeat(300), filled(",\"\\\"\"")),
    ];
    let time = |work: &dyn Fn()| {
        let start = std::time::Instant::now();
        work();
        start.elapsed()
    };
    for value in values {
        let shown: String = value.chars().take(20).collect();
        // A general parser is the measure. It is optimised and the engine is not, in a test build, so the bound is wide;
        // a step for each pair of bytes would take minutes at the least.
        let measure = time(&|| drop(serde_json::from_str::<serde_json::Value>(&value)));
        let limit = measure * 2000 + std::time::Duration::from_millis(200);
        let messages = [
            format!("{{\"payloads\":[],\"x\":{value}}}"),
            format!(
                "{{\"payloads\":[{{\"type\":\"dictionary\",\"transport\":\"direct\",\"size\":{value},\"data\":{value}}}]}}"
            ),
            format!("{{\"msgId\":{value},\"metadata\":{{\"k\":{value}}},\"payloads\":[]}}"),
        ];
        for message in messages {
            let took = time(&|| {
                if let Ok(envelope) = Envelope::decode(message.clone()) {
                    let _ = envelope.metadata().get::<serde_json::Value>("k");
                    let _ = envelope.payload(0).map(|payload| payload.decode());
                }
            });
            assert!(took < limit, "{shown}: {took:?} against {measure:?}");
        }
        let data = PayloadData::new(PayloadType::Dictionary, value.clone(), None, 0);
        let took = time(&|| drop(data.json_value()));
        assert!(took < limit, "{shown}: {took:?} against {measure:?}");
    }
}
