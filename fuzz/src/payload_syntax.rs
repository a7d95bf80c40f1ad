//! Payloads on the command line: `NAME:TYPE=VALUE`, `NAME:TYPE@PATH`, or JSON.

use crate::oracle::json::{self, Value};
use crate::oracle::{base64, write};
use crate::payload_spec::{PayloadSpec, Source as Value_};
use crate::source::{self, Source};

/// Any text in the short form and as JSON, and texts that are built to be near them.
pub(crate) fn syntax(bytes: &[u8]) {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let source = &mut Source::new(rest);
    match choice % 4 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            short(&text);
            form(&text);
        }
        1 => {
            let pieces = [
                ":", "=", "@", "a", "text", "binary", "-", "_", " ", "é", ":text=", ":x@", "@-", "\0", "7",
                "::",
            ];
            let text: String = (0..source.below(12)).map(|_| source.pick(&pieces)).collect();
            short(&text);
        }
        damaged => {
            let mut text = json_form(source).into_bytes();
            if damaged == 3 {
                source::mutate(source, &mut text);
            }
            if let Ok(text) = std::str::from_utf8(&text) {
                form(text);
            }
        }
    }
}

/// Where the name ends, found from the other side: the shortest name that is followed by a type and a sign.
fn short(text: &str) {
    let is_type = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let mut expected = None;
    for (at, sign) in text.char_indices().filter(|(_, c)| matches!(c, '=' | '@')) {
        // The type is what stands behind the last colon in front of the sign.
        let Some((name, type_name)) = text[..at].rsplit_once(':') else { continue };
        if is_type(type_name) {
            expected = Some((name, type_name, sign, &text[at + 1..]));
            break;
        }
    }
    match (PayloadSpec::parse_short(text), expected) {
        (Ok(spec), Some((name, type_name, sign, value))) => {
            assert_eq!((spec.name.as_str(), spec.type_name.as_str()), (name, type_name), "{text:?}");
            assert!(spec.metadata.is_empty());
            let source = match (sign, value) {
                ('=', value) => Value_::Value(value.as_bytes().to_vec()),
                (_, "-") => Value_::Stdin,
                (_, path) => Value_::Path(path.into()),
            };
            assert_eq!(spec.source, source, "{text:?}");
        }
        (Err(error), Some((_, _, '@', ""))) => assert!(error.contains("path"), "{error}"),
        (Err(error), None) => assert!(!error.is_empty()),
        (got, expected) => panic!("{text:?} is {got:?} instead of {expected:?}"),
    }
}

/// Accepted exactly where an independent reader finds the fields; what was given is never repeated in an error.
fn form(text: &str) {
    let expected = fields(text);
    match (PayloadSpec::parse_json(text), expected) {
        (Ok(spec), Some((name, type_name, source, metadata))) => {
            assert_eq!((spec.name, spec.type_name), (name, type_name), "{text}");
            assert_eq!(spec.source, source, "{text}");
            assert_eq!(plain_zeros(spec.metadata.into()), plain_zeros(metadata), "{text}");
        }
        (Err(error), None) => {
            assert!(!error.contains(SECRET), "{error}");
        }
        // The depth of a value to send counts from its own outermost bracket, ours from the object around it: what is
        // accepted is the value that just meets the limit, and nothing else may be wrong.
        (Ok(spec), None) => assert!(deepest(text, &spec), "{text} is {spec:?}"),
        // Our reader allows depths that serde_json does not, and numbers that no f64 can hold.
        (Err(error), Some(_)) => {
            let known = ["recursion limit", "out of range", "too large for a 64-bit float"];
            assert!(known.iter().any(|known| error.contains(known)), "{text}: {error}");
        }
    }
}

/// Whether the value to send is one that may stand alone, and all is well with another in its place.
fn deepest(text: &str, spec: &PayloadSpec) -> bool {
    let Value_::Value(value) = &spec.source else { return false };
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let shallow = |(at, _): (usize, &str)| {
        let rest = &text[at + value.len()..];
        let Some(fields) = fields(&format!("{}null{rest}", &text[..at])) else { return false };
        let (name, type_name, source, metadata) = fields;
        source == Value_::Value(b"null".to_vec())
            && (&name, &type_name) == (&spec.name, &spec.type_name)
            && plain_zeros(metadata) == plain_zeros(spec.metadata.clone().into())
    };
    json::parse(value.as_bytes()).is_some() && text.match_indices(value).any(shallow)
}

/// `-0` is a zero, whether a reader keeps its sign or not.
fn plain_zeros(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) if number.as_f64() == Some(0.0) => 0.into(),
        Value::Array(items) => items.into_iter().map(plain_zeros).collect(),
        Value::Object(pairs) => pairs.into_iter().map(|(key, value)| (key, plain_zeros(value))).collect(),
        other => other,
    }
}

const SECRET: &str = "S3CR3T-VALUE";

type Fields = (String, String, Value_, serde_json::Value);

fn fields(text: &str) -> Option<Fields> {
    let node = json::parse(text.as_bytes())?;
    let Value::Object(pairs) = &node.value else { return None };
    let known = ["dataname", "type", "path", "text", "json", "base64", "metadata"];
    let mut sources = Vec::new();
    let (mut name, mut type_name, mut metadata) = (None, None, serde_json::json!({}));
    for (at, (key, value)) in pairs.iter().enumerate() {
        if !known.contains(&key.as_str()) || pairs[..at].iter().any(|(other, _)| other == key) {
            return None;
        }
        match (key.as_str(), &value.value) {
            ("dataname", Value::String(text)) => name = Some(text.clone()),
            ("type", Value::String(text)) => type_name = Some(text.clone()),
            ("path", Value::String(path)) if path == "-" => sources.push(Value_::Stdin),
            ("path", Value::String(path)) => sources.push(Value_::Path(path.into())),
            ("text", Value::String(text)) => sources.push(Value_::Value(text.clone().into_bytes())),
            ("base64", Value::String(text)) => {
                sources.push(Value_::Value(base64::decode(text.as_bytes()).ok()?));
            }
            ("json", _) => {
                sources.push(Value_::Value(text[value.range.clone()].as_bytes().to_vec()));
            }
            ("metadata", Value::Object(_)) => metadata = json::meaning(value)?,
            ("path" | "text" | "base64", Value::Null) => {}
            _ => return None,
        }
    }
    let source = sources.pop().filter(|_| sources.is_empty())?;
    Some((name?, type_name?, source, metadata))
}

fn json_form(source: &mut Source<'_>) -> String {
    let mut pairs = vec![("dataname", write::string("a")), ("type", write::string("text"))];
    for _ in 0..1 + source.below(2) {
        let key = source.pick(&["path", "text", "json", "base64", "secret"]);
        let value = match source.below(6) {
            0 => source::value(source, 1),
            1 => write::string(&base64::encode(&source.bytes(12))),
            2 => "null".into(),
            3 => write::string("-"),
            _ => write::string(SECRET),
        };
        pairs.push((key, value));
    }
    if source.one_in(3) {
        pairs.push(("metadata", source::value(source, 3)));
    }
    if source.one_in(12) {
        pairs.remove(source.below(2));
    }
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", pairs.join(","))
}
