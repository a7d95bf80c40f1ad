//! The published schemas, and the part of JSON Schema 2020-12 that they use.
//!
//! A keyword that is not known here is an error of the schema, never passed over: what is published and what is checked
//! are the same. The tests compare the verdicts with those of Python's `jsonschema`.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::{Map, Value};

/// The name of the schema of the pipe between runner and testee.
pub const WIRE: &str = "urn:natsbridge:conformance:wire:1";
/// The name of the schema of vector files.
pub const VECTORS: &str = "urn:natsbridge:conformance:vectors:1";
/// The name of the schema of reports.
pub const REPORT: &str = "urn:natsbridge:conformance:report:1";

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::published);

struct Schemas {
    roots: HashMap<&'static str, Value>,
    patterns: HashMap<String, Regex>,
}

/// Checks a value against a published schema: all of it (`part` empty) or one of its `$defs`.
///
/// # Errors
/// The violations, each with its path. A schema of that name or a part that does not exist is one too.
pub fn check(schema: &str, part: &str, value: &Value) -> Result<(), String> {
    let reference = if part.is_empty() { schema.to_owned() } else { format!("{schema}#/$defs/{part}") };
    let (root, rules) = SCHEMAS.find(schema, &reference)?;
    let violations = SCHEMAS.check(root, rules, value);
    if violations.is_empty() {
        return Ok(());
    }
    let texts = violations.iter().take(MOST_SHOWN).map(|error| match error.path.as_str() {
        "" => error.what.clone(),
        path => format!("{path}: {}", error.what),
    });
    let more = violations.len().saturating_sub(MOST_SHOWN);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(texts.collect::<Vec<_>>().join("; ") + &rest)
}

/// So many violations are written out.
const MOST_SHOWN: usize = 3;

struct Violation {
    path: String,
    what: String,
}

impl Violation {
    fn below(mut self, step: &dyn fmt::Display) -> Self {
        self.path = format!("/{step}{}", self.path);
        self
    }
}

type Violations = Vec<Violation>;

impl Schemas {
    fn published() -> Self {
        let sources = [
            (WIRE, include_str!("../protocol/wire.schema.json")),
            (VECTORS, include_str!("../protocol/vectors.schema.json")),
            (REPORT, include_str!("../protocol/report.schema.json")),
        ];
        let mut schemas = Self { roots: HashMap::new(), patterns: HashMap::new() };
        for (name, text) in sources {
            // A schema that cannot be read is found by the first test that runs.
            let root: Value = serde_json::from_str(text).unwrap_or_default();
            schemas.compile_patterns(&root);
            schemas.roots.insert(name, root);
        }
        schemas
    }

    fn compile_patterns(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(pattern) = members.get("pattern").and_then(Value::as_str)
                    && let Ok(regex) = Regex::new(pattern)
                {
                    self.patterns.insert(pattern.to_owned(), regex);
                }
                members.values().for_each(|member| self.compile_patterns(member));
            }
            Value::Array(items) => items.iter().for_each(|item| self.compile_patterns(item)),
            _ => {}
        }
    }

    /// What a reference means, seen from the schema `from`: which schema it is in, and its rules.
    fn find<'a>(&'a self, from: &'a str, reference: &str) -> Result<(&'a str, &'a Value), String> {
        let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let name = if name.is_empty() { from } else { name };
        let (name, root) =
            self.roots.get_key_value(name).ok_or_else(|| format!("there is no schema {name}"))?;
        root.pointer(pointer).map(|rules| (*name, rules)).ok_or_else(|| format!("there is no {reference}"))
    }

    fn check(&self, root: &str, rules: &Value, value: &Value) -> Violations {
        match rules {
            Value::Bool(true) => Vec::new(),
            Value::Object(rules) => rules
                .iter()
                .flat_map(|(keyword, rule)| self.keyword(root, rules, keyword, rule, value))
                .collect(),
            _ => fail("not allowed"),
        }
    }

    fn keyword(
        &self,
        root: &str,
        rules: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
    ) -> Violations {
        let below = |step: &dyn fmt::Display, rules: &Value, value: &Value| -> Violations {
            self.check(root, rules, value).into_iter().map(|error| error.below(step)).collect()
        };
        match keyword {
            "$schema" | "$id" | "$defs" | "title" | "description" | "then" => Vec::new(),
            "$ref" => match self.find(root, rule.as_str().unwrap_or_default()) {
                Ok((root, rules)) => self.check(root, rules, value),
                Err(what) => fail(what),
            },
            "type" => {
                let allowed: Vec<&str> = match rule {
                    Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if allowed.iter().any(|name| is_of_type(value, name)) {
                    return Vec::new();
                }
                fail(format!("{value:.80} is {}, and {} is wanted", type_of(value), allowed.join(" or ")))
            }
            "const" if value == rule => Vec::new(),
            "const" => fail(format!("{value:.80} is not {rule}")),
            "enum" if list(rule).contains(value) => Vec::new(),
            "enum" => fail(format!("{value:.80} is not one of those allowed")),
            "pattern" => {
                let Some(text) = value.as_str() else { return Vec::new() };
                let pattern = rule.as_str().unwrap_or_default();
                match self.patterns.get(pattern) {
                    Some(regex) if regex.is_match(text) => Vec::new(),
                    Some(_) => fail(format!("{text:.80?} does not match {pattern}")),
                    None => fail(format!("the schema's pattern {pattern} cannot be read")),
                }
            }
            "minLength" => bound(value.as_str().map(|text| text.chars().count()), "characters", rule, false),
            "minimum" => compare(value, rule, "less", |value, bound| value >= bound),
            "maximum" => compare(value, rule, "more", |value, bound| value <= bound),
            "minItems" => bound(value.as_array().map(Vec::len), "elements", rule, false),
            "maxItems" => bound(value.as_array().map(Vec::len), "elements", rule, true),
            "uniqueItems" => {
                let items = list(value);
                match items.iter().enumerate().find(|(at, item)| items[..*at].contains(item)) {
                    Some((_, twice)) => fail(format!("{twice} is there twice")),
                    None => Vec::new(),
                }
            }
            "items" => list(value).iter().enumerate().flat_map(|(at, item)| below(&at, rule, item)).collect(),
            "minProperties" => bound(value.as_object().map(Map::len), "members", rule, false),
            "maxProperties" => bound(value.as_object().map(Map::len), "members", rule, true),
            "required" => {
                let Some(members) = value.as_object() else { return Vec::new() };
                missing(list(rule).iter().filter_map(Value::as_str), members)
            }
            "dependentRequired" => {
                let (Some(members), Some(rule)) = (value.as_object(), rule.as_object()) else {
                    return Vec::new();
                };
                let needed = rule.iter().filter(|(name, _)| members.contains_key(*name));
                missing(needed.flat_map(|(_, names)| list(names)).filter_map(Value::as_str), members)
            }
            "properties" => {
                let (Some(members), Some(rules)) = (value.as_object(), rule.as_object()) else {
                    return Vec::new();
                };
                let ruled =
                    members.iter().filter_map(|(name, member)| Some((name, member, rules.get(name)?)));
                ruled.flat_map(|(name, member, rules)| below(name, rules, member)).collect()
            }
            "additionalProperties" => {
                let Some(members) = value.as_object() else { return Vec::new() };
                let known = rules.get("properties").and_then(Value::as_object);
                let others =
                    members.iter().filter(|(name, _)| !known.is_some_and(|known| known.contains_key(*name)));
                others.flat_map(|(name, member)| below(name, rule, member)).collect()
            }
            "allOf" => list(rule).iter().flat_map(|rules| self.check(root, rules, value)).collect(),
            "anyOf" | "oneOf" => {
                let verdicts: Vec<Violations> =
                    list(rule).iter().map(|rules| self.check(root, rules, value)).collect();
                match verdicts.iter().filter(|violations| violations.is_empty()).count() {
                    1 => Vec::new(),
                    // The alternative that was meant is the one with which least is wrong.
                    0 => verdicts.into_iter().min_by_key(Vec::len).unwrap_or_default(),
                    _ if keyword == "anyOf" => Vec::new(),
                    count => fail(format!("is {count} things at once that exclude each other")),
                }
            }
            "if" => match rules.get("then") {
                Some(then) if self.check(root, rule, value).is_empty() => self.check(root, then, value),
                _ => Vec::new(),
            },
            other => fail(format!("the schema has a keyword that the runner does not know: {other}")),
        }
    }
}

fn fail(what: impl Into<String>) -> Violations {
    vec![Violation { path: String::new(), what: what.into() }]
}

fn missing<'a>(names: impl Iterator<Item = &'a str>, members: &Map<String, Value>) -> Violations {
    names
        .filter(|name| !members.contains_key(*name))
        .flat_map(|name| fail(format!("lacks {name:?}")))
        .collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        // A number such as 1.0 is an integer to JSON Schema.
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        _ => false,
    }
}

fn bound(len: Option<usize>, what: &str, rule: &Value, upper: bool) -> Violations {
    let (Some(len), Some(bound)) = (len, rule.as_u64()) else { return Vec::new() };
    let fits = if upper { len as u64 <= bound } else { len as u64 >= bound };
    let word = if upper { "at most" } else { "at least" };
    if fits { Vec::new() } else { fail(format!("has {len} {what}, and {word} {bound} are wanted")) }
}

fn compare(value: &Value, rule: &Value, word: &str, fits: fn(f64, f64) -> bool) -> Violations {
    match (value.as_f64(), rule.as_f64()) {
        (Some(number), Some(bound)) if !fits(number, bound) => fail(format!("{value} is {word} than {rule}")),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_keyword_and_reference_of_the_published_schemas_is_understood() {
        fn walk(schemas: &Schemas, root: &str, rules: &Value) {
            let Some(rules) = rules.as_object() else { return };
            for (keyword, rule) in rules {
                for error in schemas.keyword(root, rules, keyword, rule, &Value::Null) {
                    assert!(!error.what.starts_with("the schema"), "{}", error.what);
                    assert!(!error.what.starts_with("there is no"), "{}", error.what);
                }
                match keyword.as_str() {
                    "properties" | "$defs" => {
                        rule.as_object().unwrap().values().for_each(|rules| walk(schemas, root, rules));
                    }
                    "allOf" | "anyOf" | "oneOf" => {
                        list(rule).iter().for_each(|rules| walk(schemas, root, rules))
                    }
                    "if" | "then" | "items" | "additionalProperties" => walk(schemas, root, rule),
                    "pattern" => assert!(schemas.patterns.contains_key(rule.as_str().unwrap()), "{rule}"),
                    _ => {}
                }
            }
        }
        for (name, root) in &SCHEMAS.roots {
            assert_eq!(root["$id"], **name);
            walk(&SCHEMAS, name, root);
        }
    }

    #[test]
    fn lines_of_the_protocol_are_told_from_others() {
        let ok = |part: &str, value: Value| check(WIRE, part, &value).is_ok();
        assert!(ok("request", json!({"cmd": "start", "version": 1})));
        assert!(!ok("request", json!({"cmd": "start", "version": 2})));
        assert!(!ok("request", json!({"cmd": "stop", "now": true})));
        let run = |op: &str, input: Value| json!({"cmd": "run", "seq": 1, "op": op, "in": input});
        assert!(ok("request", run("base64.decode", json!({"data": {"hex": "51"}}))));
        assert!(ok("request", run("base64.decode", json!({"data": {"gen": {"seed": 1, "len": 5}}}))));
        assert!(!ok("request", run("base64.decode", json!({"data": {"hex": "5"}}))));
        assert!(!ok("request", run("base64.decode", json!({"data": {"hex": "51", "text": "Q"}}))));
        assert!(!ok("request", run("base64.dekode", json!({"data": {"hex": "51"}}))));
        assert!(!ok("request", run("subject.check", json!({"subject": "é", "use": "publish"}))));
        assert!(ok("reply", json!({"seq": 1, "reject": {"kind": "malformed", "offset": 3}})));
        assert!(!ok("reply", json!({"seq": 1, "reject": {"kind": "bad"}})));
        assert!(!ok("reply", json!({"seq": 1, "ok": {}, "skip": ""})));
        assert!(!ok("reply", json!({"seq": -1, "ok": {}})));
        assert!(!ok("ok.retry.class", json!({"retry": 1})));
    }

    #[test]
    fn a_violation_names_its_place() {
        let line =
            json!({"cmd": "run", "seq": 1, "op": "subject.check", "in": {"subject": "a", "use": "send"}});
        let error = check(WIRE, "run", &line).unwrap_err();
        assert!(error.starts_with("/in/use: "), "{error}");
        for (line, expected) in [
            (json!({"seq": "1", "ok": {}}), "/seq: \"1\" is a string, and integer is wanted"),
            (json!({"seq": 1, "ok": {}, "took": 3}), "/took: not allowed"),
            (
                json!({"seq": 1, "reject": {"kind": "limit", "offset": -1}}),
                "/reject/offset: -1 is less than 0",
            ),
        ] {
            assert_eq!(check(WIRE, "reply", &line).unwrap_err(), expected);
        }
    }
}
