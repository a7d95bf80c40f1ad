//! Dictionaries: JSON values, strict when read, whatever the JSON library's own idea of strictness is.
//!
//! RFC 8259 to a depth of [`MAX_DEPTH`](crate::MAX_DEPTH); of a key given twice the last value counts; integers that fit
//! `i64` or `u64` are exact, other numbers are the nearest `f64`, and what overflows that is an error (SPEC `TYPE`).

mod numbers;

use std::collections::HashSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use simd_json::{Node, OwnedValue, StaticNode, Tape};

use crate::envelope::scan;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Limits, MAX_DEPTH};

/// Serialises a value as compact JSON in raw UTF-8. NaN and infinities become `null`, as in JavaScript.
pub(crate) fn write(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "the value cannot be written as JSON").with_source(error)
    })?;
    // Something that nests deeper than every reader accepts must not be sent at all.
    scan::check(json.as_bytes())
        .map_err(|error| Error::new(ErrorKind::InvalidInput, error.what).at(error.offset as u64))?;
    Ok(json)
}

/// The same into a buffer that is used again.
#[cfg(feature = "nats")]
pub(crate) fn write_into(value: &impl Serialize, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    serde_json::to_writer(&mut *out, value).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "the value cannot be written as JSON").with_source(error)
    })?;
    scan::check(out).map_err(|error| Error::new(ErrorKind::InvalidInput, error.what).at(error.offset as u64))
}

/// Refuses JSON text that is longer than the limits allow to read, or nests deeper.
pub(crate) fn check_limits(json: &[u8], limits: &Limits) -> Result<()> {
    if json.len() as u64 > limits.json_len {
        let what = "the JSON is longer than `Limits::json_len` allows";
        return Err(Error::new(ErrorKind::LimitExceeded, what).with_size(json.len() as u64, limits.json_len));
    }
    // Each takes a byte, and one that parts it from the next.
    if json.len() as u64 / 2 >= limits.json_values {
        let values = count_values(json);
        if values > limits.json_values {
            let what = "the JSON holds more values than `Limits::json_values` allows";
            return Err(Error::new(ErrorKind::LimitExceeded, what).with_size(values, limits.json_values));
        }
    }
    if limits.json_depth >= MAX_DEPTH {
        return Ok(()); // the format's own rule says it
    }
    // As deep as if it stood that much further inside.
    match scan::check_at(json, 1 + MAX_DEPTH - limits.json_depth) {
        Err(error) if error.what == scan::TOO_DEEP => {
            let what = "the JSON nests deeper than `Limits::json_depth` allows";
            Err(Error::new(ErrorKind::LimitExceeded, what)
                .at(error.offset as u64)
                .with_size(limits.json_depth as u64 + 1, limits.json_depth as u64))
        }
        _ => Ok(()), // anything else is said by who reads it
    }
}

/// How many values there are, containers included. Of text that is not JSON, any number.
pub(crate) fn count_values(json: &[u8]) -> u64 {
    let mut values = 1;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b',' => values += 1,
            // Something in it, unless it ends at once.
            b'[' | b'{' => {
                let next = json[at..].iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
                values += u64::from(!matches!(next, Some(b']' | b'}')));
            }
            b'"' => {
                while let Some(len) = memchr::memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
                    at += len + 1;
                    if json[at - 1] == b'"' {
                        break;
                    }
                    at += 1;
                }
            }
            _ => {}
        }
    }
    values
}

/// Checks JSON text without building anything.
pub(crate) fn check(json: &[u8]) -> Result<&str> {
    check_all(json).map(|(text, _)| text)
}

/// The same, and whether there are long numbers in it.
fn check_all(json: &[u8]) -> Result<(&str, bool)> {
    scan::check(json).map_err(|error| invalid(error.what).at(error.offset as u64))?;
    let too_large = |at| invalid("a number is too large for a 64-bit float").at(at as u64);
    let long_numbers = numbers::check(json).map_err(too_large)?;
    let text =
        std::str::from_utf8(json).map_err(|error| invalid("invalid UTF-8").at(error.valid_up_to() as u64))?;
    Ok((text, long_numbers))
}

/// Where a number stands that no f64 can hold. `json` is valid.
pub(crate) fn overflowing_number(json: &[u8]) -> Option<usize> {
    numbers::check(json).err()
}

/// Checks that JSON text is an array of objects: the rows of a table.
pub(crate) fn check_rows(json: &[u8]) -> Result<()> {
    scan::check_rows(json).map_err(|error| invalid(error.what).at(error.offset as u64))
}

/// Reads JSON text as the caller's type.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    let (_, long_numbers) = check_all(json)?;
    // The parser writes into its input; the message's own bytes are shared and stay as they are.
    let mut copy = json.to_vec();
    if long_numbers {
        numbers::shorten(&mut copy);
    }
    let tape = simd_json::to_tape(&mut copy)
        .map_err(|error| invalid("the JSON parser refuses the text").with_source(error))?;
    let read = if has_repeated_keys(&tape) {
        let mut nodes = tape.0.iter();
        let value =
            last_wins(&mut nodes).ok_or_else(|| Error::new(ErrorKind::Bug, "the JSON tape ends early"))?;
        simd_json::serde::from_owned_value(value)
    } else {
        tape.deserialize()
    };
    read.map_err(|error| invalid("the JSON does not have the shape that was asked for").with_source(error))
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidJson, what)
}

/// Whether any object has a key twice.
fn has_repeated_keys(tape: &Tape<'_>) -> bool {
    let nodes = &tape.0;
    nodes.iter().enumerate().any(|(at, node)| match node {
        Node::Object { len, .. } if *len > 1 => repeats(nodes, at + 1, *len),
        _ => false,
    })
}

fn repeats(nodes: &[Node<'_>], mut at: usize, len: usize) -> bool {
    // Small objects are compared in place; large ones are worth a set.
    let mut small: smallvec::SmallVec<[&str; 16]> = smallvec::SmallVec::new();
    let mut large = HashSet::new();
    for _ in 0..len {
        let Some(Node::String(key)) = nodes.get(at) else { return false };
        let new = if len > 16 {
            large.insert(*key)
        } else {
            let new = !small.contains(key);
            small.push(key);
            new
        };
        if !new {
            return true;
        }
        at += 1;
        at += match nodes.get(at) {
            Some(Node::Object { count, .. } | Node::Array { count, .. }) => count + 1,
            _ => 1,
        };
    }
    false
}

/// Builds the next value of the tape, the last of several equal keys winning. Recursion is as deep as the text,
/// which has been checked.
fn last_wins<'a>(nodes: &mut impl Iterator<Item = &'a Node<'a>>) -> Option<OwnedValue> {
    Some(match nodes.next()? {
        Node::String(text) => OwnedValue::from(*text),
        Node::Static(value) => match *value {
            StaticNode::Null => OwnedValue::from(()),
            StaticNode::Bool(value) => OwnedValue::from(value),
            StaticNode::I64(value) => OwnedValue::from(value),
            StaticNode::U64(value) => OwnedValue::from(value),
            StaticNode::F64(value) => OwnedValue::from(value),
        },
        Node::Array { len, .. } => {
            let mut items = Vec::new();
            for _ in 0..*len {
                items.push(last_wins(nodes)?);
            }
            OwnedValue::from(items)
        }
        Node::Object { len, .. } => {
            let mut object = simd_json::owned::Object::default();
            for _ in 0..*len {
                let Node::String(key) = nodes.next()? else { return None };
                object.insert((*key).to_owned(), last_wins(nodes)?);
            }
            OwnedValue::from(object)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn value(json: &str) -> Result<Value> {
        read(json.as_bytes())
    }

    #[test]
    fn of_a_repeated_key_the_last_value_counts() {
        assert_eq!(
            value(r#"{"a":1,"b":{"c":1,"c":[2,{"d":0,"d":3}]},"a":4}"#).unwrap(),
            serde_json::json!({"a":4,"b":{"c":[2,{"d":3}]}})
        );
        assert_eq!(value(r#"{"a":1,"\u0061":2}"#).unwrap(), serde_json::json!({"a":2}));
        let many: String = (0..40).map(|n| format!("\"k{}\":{n},", n % 20)).collect();
        let map: BTreeMap<String, u32> =
            read(format!("{{{}}}", many.trim_end_matches(',')).as_bytes()).unwrap();
        assert_eq!((map.len(), map["k0"], map["k19"]), (20, 20, 39));

        #[derive(serde::Deserialize)]
        struct Struct {
            a: u8,
        }
        assert_eq!(read::<Struct>(br#"{"a":1,"x":0,"a":2}"#).unwrap().a, 2);
    }

    #[test]
    fn integers_are_exact_and_other_numbers_the_nearest_float() {
        for (json, expected) in [
            ("18446744073709551615", Value::from(u64::MAX)),
            ("-9223372036854775808", Value::from(i64::MIN)),
            ("18446744073709551616", Value::from(18446744073709551616f64)),
            ("-9223372036854775809", Value::from(-9223372036854775809f64)),
            ("49441504869265640000", Value::from(49441504869265640000f64)),
            ("123456789012345678901234567890", Value::from(123456789012345678901234567890f64)),
            ("0.1", Value::from(0.1)),
            ("1e308", Value::from(1e308)),
            ("5e-324", Value::from(5e-324)),
            ("1e-400", Value::from(0.0)),
            ("1.7976931348623157e308", Value::from(f64::MAX)),
            ("2.2250738585072011e-308", Value::from(2.225073858507201e-308)),
            ("9007199254740993.0", Value::from(9007199254740993.0)),
        ] {
            assert_eq!(value(json).unwrap(), expected, "{json}");
            assert_eq!(value(&format!("[{json}]")).unwrap()[0], expected, "{json}");
        }
        let long = "9".repeat(309);
        let fits = "9".repeat(308);
        for (json, ok) in
            [("1e309", false), ("-1e400", false), (&long, false), (&fits, true), ("1e999999999", false)]
        {
            assert_eq!(value(json).is_ok(), ok, "{json}");
            let nested = format!("{{\"a\":[\"1e999\\\"\",{json}]}}");
            assert_eq!(value(&nested).is_ok(), ok, "{json}");
            assert_eq!(check(nested.as_bytes()).err().and_then(|e| e.offset()), (!ok).then_some(16));
        }
    }

    #[test]
    fn what_is_not_strict_json_is_refused_with_its_offset() {
        for (json, offset) in [
            ("{\"a\":01}", 6),
            ("[1,]", 3),
            ("\u{feff}{}", 0),
            ("NaN", 0),
            ("{'a':1}", 1),
            ("\"\\ud800\"", 1),
            ("", 0),
        ] {
            let error = value(json).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::InvalidJson, Some(offset)), "{json}");
        }
        assert!(value(&("[".repeat(129) + &"]".repeat(129))).is_err());
        assert!(value(&("[".repeat(128) + &"]".repeat(128))).is_ok());
    }

    #[test]
    fn rows_are_an_array_of_objects() {
        for json in ["[]", " [ ] ", "[{}]", "[{\"a\":[1]},\n{\"b\":null}]"] {
            assert!(check_rows(json.as_bytes()).is_ok(), "{json}");
        }
        for (json, offset) in
            [("{}", 0), ("1", 0), ("", 0), ("[1]", 1), ("[{},[]]", 4), ("[{},]", 4), ("[{}", 3), ("[{}]x", 4)]
        {
            let error = check_rows(json.as_bytes()).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::InvalidJson, Some(offset)), "{json}");
        }
        let deep = |depth: usize| format!("[{{\"a\":{}{}}}]", "[".repeat(depth - 2), "]".repeat(depth - 2));
        assert!(check_rows(deep(128).as_bytes()).is_ok());
        assert!(check_rows(deep(129).as_bytes()).is_err());
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_reads_back_as_itself(expected in json_value()) {
            let json = write(&expected).unwrap();
            prop_assert_eq!(value(&json).unwrap(), expected);
        }

        #[test]
        fn floats_are_the_nearest(text in r"-?[1-9][0-9]{0,24}\.[0-9]{1,25}(e-?[0-9]{1,3})?") {
            let nearest: f64 = text.parse().unwrap();
            match read::<f64>(text.as_bytes()) {
                Ok(number) => prop_assert_eq!(number.to_bits(), nearest.to_bits()),
                Err(_) => prop_assert!(nearest.is_infinite()),
            }
        }
    }
}
