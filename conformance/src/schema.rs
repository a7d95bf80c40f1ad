//! The published schemas, and the part of JSON Schema 2020-12 that they use.
//!
//! A keyword that is not known here is an error of the schema, never passed over: what is published and what is checked
//! are the same. The tests compare the verdicts with those of Python's `jsonschema`.

use std::collections::HashMap;
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
/// The first violation, with its path. A schema of that name or a part that does not exist is one too.
pub fn check(schema: &str, part: &str, value: &Value) -> Result<(), String> {
    let reference = if part.is_empty() { schema.to_owned() } else { format!("{schema}#/$defs/{part}") };
    let (root, rules) = SCHEMAS.find(schema, &reference)?;
    SCHEMAS.check(root, rules, value).map_err(|error| match error.path.as_str() {
        "" => error.what,
        path => format!("{path}: {}", error.what),
    })
}

struct Violation {
    path: String,
    what: String,
}

impl Violation {
    fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    fn below(mut self, step: impl std::fmt::Display) -> Self {
        self.path = format!("/{step}{}", self.path);
        self
    }
}

type Verdict = Result<(), Violation>;

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

    fn check(&self, root: &str, rules: &Value, value: &Value) -> Verdict {
        let rules = match rules {
            Value::Bool(true) => return Ok(()),
            Value::Object(rules) => rules,
            _ => return Err(Violation::new("not allowed")),
        };
        for (keyword, rule) in rules {
            self.keyword(root, rules, keyword, rule, value)?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        root: &str,
        rules: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
    ) -> Verdict {
        let fail = |what: String| Err(Violation::new(what));
        match keyword {
            "$schema" | "$id" | "$defs" | "title" | "description" | "then" => Ok(()),
            "$ref" => {
                let reference = rule.as_str().unwrap_or_default();
                let (root, rules) = self.find(root, reference).map_err(Violation::new)?;
                self.check(root, rules, value)
            }
            "type" => {
                let allowed: Vec<&str> = match rule {
                    Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if allowed.iter().any(|name| is_of_type(value, name)) {
                    return Ok(());
                }
                fail(format!("is not of type {}", allowed.join(" or ")))
            }
            "const" if value == rule => Ok(()),
            "const" => fail(format!("is not {rule}")),
            "enum" if list(rule).contains(value) => Ok(()),
            "enum" => fail(format!("{value:.80} is not one of those allowed")),
            "pattern" => {
                let Some(text) = value.as_str() else { return Ok(()) };
                let pattern = rule.as_str().unwrap_or_default();
                match self.patterns.get(pattern) {
                    Some(regex) if regex.is_match(text) => Ok(()),
                    Some(_) => fail(format!("{text:.80?} does not match {pattern}")),
                    None => fail(format!("the schema's pattern {pattern} cannot be read")),
                }
            }
            "minLength" => bound(value.as_str().map(|text| text.chars().count()), rule, false),
            "minimum" => compare(value, rule, |value, bound| value >= bound),
            "maximum" => compare(value, rule, |value, bound| value <= bound),
            "minItems" => bound(value.as_array().map(Vec::len), rule, false),
            "maxItems" => bound(value.as_array().map(Vec::len), rule, true),
            "uniqueItems" => {
                let items = list(value);
                match items.iter().enumerate().find(|(at, item)| items[..*at].contains(item)) {
                    Some((_, twice)) => fail(format!("{twice} is there twice")),
                    None => Ok(()),
                }
            }
            "items" => {
                let mut items = list(value).iter().enumerate();
                items.try_for_each(|(at, item)| self.check(root, rule, item).map_err(|error| error.below(at)))
            }
            "minProperties" => bound(value.as_object().map(Map::len), rule, false),
            "maxProperties" => bound(value.as_object().map(Map::len), rule, true),
            "required" => {
                let Some(members) = value.as_object() else { return Ok(()) };
                let mut names = list(rule).iter().filter_map(Value::as_str);
                names
                    .find(|name| !members.contains_key(*name))
                    .map_or(Ok(()), |name| fail(format!("lacks {name:?}")))
            }
            "dependentRequired" => {
                let (Some(members), Some(rule)) = (value.as_object(), rule.as_object()) else {
                    return Ok(());
                };
                let needed = rule.iter().filter(|(name, _)| members.contains_key(*name));
                let mut needed = needed.flat_map(|(_, names)| list(names)).filter_map(Value::as_str);
                needed
                    .find(|name| !members.contains_key(*name))
                    .map_or(Ok(()), |name| fail(format!("lacks {name:?}")))
            }
            "properties" => {
                let (Some(members), Some(rules)) = (value.as_object(), rule.as_object()) else {
                    return Ok(());
                };
                let mut ruled =
                    members.iter().filter_map(|(name, member)| Some((name, member, rules.get(name)?)));
                ruled.try_for_each(|(name, member, rules)| {
                    self.check(root, rules, member).map_err(|error| error.below(name))
                })
            }
            "additionalProperties" => {
                let Some(members) = value.as_object() else { return Ok(()) };
                let known = rules.get("properties").and_then(Value::as_object);
                let mut others =
                    members.iter().filter(|(name, _)| !known.is_some_and(|known| known.contains_key(*name)));
                others.try_for_each(|(name, member)| {
                    self.check(root, rule, member).map_err(|error| error.below(name))
                })
            }
            "allOf" => list(rule).iter().try_for_each(|rules| self.check(root, rules, value)),
            "anyOf" | "oneOf" => {
                let verdicts: Vec<Verdict> =
                    list(rule).iter().map(|rules| self.check(root, rules, value)).collect();
                match verdicts.iter().filter(|verdict| verdict.is_ok()).count() {
                    1 => Ok(()),
                    0 => Err(nearest(verdicts)),
                    _ if keyword == "anyOf" => Ok(()),
                    count => fail(format!("is {count} things at once that exclude each other")),
                }
            }
            "if" => match (self.check(root, rule, value), rules.get("then")) {
                (Ok(()), Some(then)) => self.check(root, then, value),
                _ => Ok(()),
            },
            other => fail(format!("the schema has a keyword that the runner does not know: {other}")),
        }
    }
}

/// Of several reasons the one that lies deepest: it is that of the alternative that was meant.
fn nearest(verdicts: Vec<Verdict>) -> Violation {
    let violations = verdicts.into_iter().filter_map(Verdict::err);
    let deepest = violations.max_by_key(|violation| violation.path.matches('/').count());
    deepest.unwrap_or_else(|| Violation::new("is none of the allowed things"))
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

fn bound(len: Option<usize>, rule: &Value, upper: bool) -> Verdict {
    let (Some(len), Some(bound)) = (len, rule.as_u64()) else { return Ok(()) };
    let fits = if upper { len as u64 <= bound } else { len as u64 >= bound };
    let word = if upper { "at most" } else { "at least" };
    if fits { Ok(()) } else { Err(Violation::new(format!("has {len} parts, not {word} {bound}"))) }
}

fn compare(value: &Value, rule: &Value, fits: fn(f64, f64) -> bool) -> Verdict {
    match (value.as_f64(), rule.as_f64()) {
        (Some(number), Some(bound)) if !fits(number, bound) => {
            Err(Violation::new(format!("{number} is beyond {bound}")))
        }
        _ => Ok(()),
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
                if let Err(error) = schemas.keyword(root, rules, keyword, rule, &Value::Null) {
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
    }
}
