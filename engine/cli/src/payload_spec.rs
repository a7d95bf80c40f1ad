//! A payload on the command line: `NAME:TYPE=VALUE`, `NAME:TYPE@PATH`, or JSON.

use std::path::PathBuf;

use natsbridge::Payload;
use serde::Deserialize;
use serde_json::{Map, Value};

/// One payload as it was asked for; nothing has been read yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PayloadSpec {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) source: Source,
    /// From the JSON form only.
    pub(crate) metadata: Map<String, Value>,
}

/// Where a payload's value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    /// These bytes.
    Value(Vec<u8>),
    /// A file.
    Path(PathBuf),
    /// Standard input, to its end.
    Stdin,
}

impl Source {
    fn path(path: String) -> Self {
        if path == "-" { Self::Stdin } else { Self::Path(path.into()) }
    }
}

impl PayloadSpec {
    /// Reads the short form. The name ends at the first `:TYPE=` or `:TYPE@`, where a type is made of ASCII letters, digits,
    /// `_` and `-`; so a value may hold anything, and a name any colon that does not look like that.
    pub(crate) fn parse_short(text: &str) -> Result<Self, String> {
        for (colon, _) in text.match_indices(':') {
            let rest = &text[colon + 1..];
            let is_type = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            let end = rest.bytes().position(|byte| !is_type(byte)).unwrap_or(rest.len());
            let (type_name, rest) = rest.split_at(end);
            if type_name.is_empty() {
                continue;
            }
            let source = if let Some(value) = rest.strip_prefix('=') {
                Source::Value(value.as_bytes().to_vec())
            } else if let Some(path) = rest.strip_prefix('@') {
                if path.is_empty() {
                    return Err("there is no path behind @".to_owned());
                }
                Source::path(path.to_owned())
            } else {
                continue;
            };
            let name = text[..colon].to_owned();
            return Ok(Self { name, type_name: type_name.to_owned(), source, metadata: Map::new() });
        }
        Err("not NAME:TYPE=VALUE or NAME:TYPE@PATH".to_owned())
    }

    /// Reads the JSON form: `dataname`, `type`, one of `path`, `text`, `json` and `base64`, and `metadata` if wanted.
    pub(crate) fn parse_json(text: &str) -> Result<Self, String> {
        let form: JsonForm = serde_json::from_str(text).map_err(|error| without_values(&error))?;
        let mut sources = Vec::new();
        sources.extend(form.path.map(Source::path));
        sources.extend(form.text.map(|text| Source::Value(text.into_bytes())));
        if let Some(json) = form.json {
            let bytes = json.get().as_bytes().to_vec();
            // Kept as it was written, serde_json has not looked into its strings.
            Payload::dictionary_json("", bytes.clone()).map_err(|error| format!("json: {error}"))?;
            sources.push(Source::Value(bytes));
        }
        if let Some(base64) = form.base64 {
            let mut bytes = Vec::new();
            natsbridge::base64::decode_append(base64.as_bytes(), &mut bytes)
                .map_err(|error| format!("base64: {} at byte {}", error.what, error.offset))?;
            sources.push(Source::Value(bytes));
        }
        match (sources.pop(), sources.is_empty()) {
            (Some(source), true) => {
                Ok(Self { name: form.dataname, type_name: form.type_name, source, metadata: form.metadata })
            }
            _ => Err("exactly one of \"path\", \"text\", \"json\" and \"base64\" is needed".to_owned()),
        }
    }
}

/// The error without what was given, which may be a secret.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() || text.starts_with("missing field") {
        return text;
    }
    format!(
        "a field is unknown, given twice or of the wrong type at line {} column {}",
        error.line(),
        error.column()
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonForm {
    dataname: String,
    #[serde(rename = "type")]
    type_name: String,
    path: Option<String>,
    text: Option<String>,
    /// Kept as it was written.
    #[serde(default, deserialize_with = "present")]
    json: Option<Box<serde_json::value::RawValue>>,
    base64: Option<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// `null` is a value to send too.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn short(name: &str, type_name: &str, source: Source) -> PayloadSpec {
        let (name, type_name) = (name.to_owned(), type_name.to_owned());
        PayloadSpec { name, type_name, source, metadata: Map::new() }
    }

    fn value(text: &str) -> Source {
        Source::Value(text.as_bytes().to_vec())
    }

    #[test]
    fn the_first_type_between_colon_and_sign_ends_the_name() {
        for (text, name, type_name, source) in [
            ("greeting:text=Hello", "greeting", "text", value("Hello")),
            ("a:text=", "a", "text", value("")),
            ("a:text=b:binary@c", "a", "text", value("b:binary@c")),
            ("a:text=b=c@d:e", "a", "text", value("b=c@d:e")),
            ("a:image@x y.png", "a", "image", Source::Path("x y.png".into())),
            ("a:image@./b:text=c", "a", "image", Source::Path("./b:text=c".into())),
            ("a:binary@-", "a", "binary", Source::Stdin),
            ("a:text=-", "a", "text", value("-")),
            ("a:b:text=c", "a:b", "text", value("c")),
            ("a: text=c:x=d", "a: text=c", "x", value("d")),
            ("a::text=c", "a:", "text", value("c")),
            ("a:=c:text=d", "a:=c", "text", value("d")),
            ("mail@host:text=hi", "mail@host", "text", value("hi")),
            ("a:my-type_2=x", "a", "my-type_2", value("x")),
            ("größe:text=€", "größe", "text", value("€")),
            (":text=x", "", "text", value("x")),
        ] {
            assert_eq!(PayloadSpec::parse_short(text), Ok(short(name, type_name, source)), "{text}");
        }
        for text in ["", "a", "a:text", "a=b", "a@b", "a:=b", "a:@b", "a:tex t=b", "a:image@", "ä:tÿpe=b"] {
            assert!(PayloadSpec::parse_short(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_json_form_holds_any_name() {
        let spec = |text| PayloadSpec::parse_json(text).unwrap();
        let read = spec(r#"{"dataname":"a:text=b","type":"text","text":"c"}"#);
        assert_eq!(read, short("a:text=b", "text", value("c")));
        assert_eq!(spec(r#"{"dataname":"","type":"x","path":"-"}"#).source, Source::Stdin);
        let read = spec(r#"{"dataname":"","type":"dictionary","json":{"z":1.50, "a":[]}}"#);
        assert_eq!(read.source, value(r#"{"z":1.50, "a":[]}"#));
        assert_eq!(spec(r#"{"dataname":"","type":"dictionary","json":null}"#).source, value("null"));
        assert_eq!(spec(r#"{"dataname":"","type":"binary","base64":"AAE="}"#).source, value("\0\u{1}"));
        let read = spec(r#"{"dataname":"","type":"x","text":"","metadata":{"lang":"en"}}"#);
        assert_eq!(read.metadata["lang"], "en");
        for text in [
            "",
            "{}",
            r#"{"dataname":"a","type":"text"}"#,
            r#"{"dataname":"a","type":"text","text":"b","path":"c"}"#,
            r#"{"dataname":"a","type":"text","txt":"b"}"#,
            r#"{"dataname":"a","type":"binary","base64":"A"}"#,
            r#"{"dataname":"a","type":"dictionary","json":"\ud83d"}"#,
            r#"{"dataname":"a","type":"dictionary","json":[1e400]}"#,
        ] {
            assert!(PayloadSpec::parse_json(text).is_err(), "{text}");
        }
    }

    /// The short form, where it can hold the payload.
    fn format(spec: &PayloadSpec) -> String {
        let PayloadSpec { name, type_name, source, .. } = spec;
        match source {
            Source::Value(value) => format!("{name}:{type_name}={}", String::from_utf8_lossy(value)),
            Source::Path(path) => format!("{name}:{type_name}@{}", path.display()),
            Source::Stdin => format!("{name}:{type_name}@-"),
        }
    }

    fn source() -> impl Strategy<Value = Source> {
        prop_oneof![
            any::<String>().prop_map(|text| Source::Value(text.into_bytes())),
            "[^-].{0,20}".prop_map(|path| Source::Path(path.into())),
            Just(Source::Stdin),
        ]
    }

    proptest! {
        #[test]
        fn what_is_formatted_parses_back(
            name in "[a-zA-Z0-9 :@=._/äß€-]{0,12}",
            type_name in "[A-Za-z0-9_-]{1,8}",
            source in source(),
        ) {
            // A name that looks like the short form itself needs the JSON form.
            prop_assume!(PayloadSpec::parse_short(&format!("{name}:")).is_err());
            let spec = short(&name, &type_name, source);
            prop_assert_eq!(PayloadSpec::parse_short(&format(&spec)), Ok(spec));
        }

        #[test]
        fn no_argument_makes_it_panic(text in any::<String>(), dense in "[ab:=@_ -]{0,12}") {
            let _ = PayloadSpec::parse_short(&text);
            let _ = PayloadSpec::parse_short(&dense);
            let _ = PayloadSpec::parse_json(&text);
        }
    }
}
