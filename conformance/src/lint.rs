//! What keeps the vectors clean: beyond the schema, what no schema can say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::bytes::bytes_of;
use crate::repository;
use crate::schema::{self, VECTORS};
use crate::vectors::{Level, VectorFile, Vectors};

/// Cutting a longer input at every place takes longer than it shows.
const MOST_EACH: usize = 512;

/// Everything that is wrong with the vectors, in words.
pub fn lint(vectors: &Vectors) -> Vec<String> {
    let mut wrong = Vec::new();
    let clauses = clauses(vectors);
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut inputs: BTreeMap<String, &str> = BTreeMap::new();
    for file in &vectors.files {
        let path = file.path.display().to_string();
        if let Err(what) = schema::check(VECTORS, "", &file.content) {
            wrong.push(format!("{path}: {what}"));
        }
        lint_file(file, &mut wrong);
        for case in &file.cases {
            let mut say = |what: String| wrong.push(format!("{path}: {}: {what}", case.id));
            if let Some(other) = seen.insert(&case.id, &file.area) {
                say(format!("the id is there twice (also in {other})"));
            }
            for clause in case.clause.split(", ") {
                if !clauses.contains(clause) {
                    say(format!("SPEC.md has no clause {clause}"));
                }
            }
            if case.test.get("split").is_some() && !case.op.starts_with("base64.") {
                say(format!("{} has no streaming interface to split for", case.op));
            }
            if case.test["split"] == "each" {
                let len = bytes_of(&case.input()["data"]).map_or(0, |bytes| bytes.len());
                if len > MOST_EACH {
                    say(format!("split \"each\" of {len} bytes takes too long: {MOST_EACH} at most"));
                }
            }
            if case.level == Level::Must && case.expect().get("either").is_some() {
                say("a must that is right either way demands nothing: make it a may".to_owned());
            }
            for (name, value) in [("accept", &case.expect()["accept"]), ("in", case.input())] {
                if let Err(what) = readable(value) {
                    say(format!("{name}: {what}"));
                }
            }
            let has_peer = case.test.get("peer").is_some();
            if has_peer != (case.area == "peer") {
                say("peer cases, and no others, have a script".to_owned());
            }
            let mut input =
                format!("{} {} {} {}", case.op, case.input(), case.test["split"], case.test["limits"]);
            if has_peer {
                input.push_str(&format!("{} {}", case.test["peer"], case.expect()));
            }
            if let Some(other) = inputs.insert(input, &case.id) {
                say(format!("asks the same as {other}"));
            }
        }
    }
    wrong
}

fn lint_file(file: &VectorFile, wrong: &mut Vec<String>) {
    let path = file.path.display();
    let folder = file.path.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
    if folder != Some(&file.area) {
        wrong.push(format!("{path}: the area {} is not the folder's name", file.area));
    }
    let ids: Vec<&str> = file.cases.iter().map(|case| case.id.as_str()).collect();
    let prefixes: BTreeSet<&str> =
        ids.iter().filter_map(|id| id.rsplit_once('-')).map(|(prefix, _)| prefix).collect();
    if prefixes.len() > 1 {
        wrong.push(format!("{path}: several prefixes in one file: {prefixes:?}"));
    }
    if !ids.is_sorted() {
        wrong.push(format!("{path}: the cases are not in the order of their ids"));
    }
    let named: BTreeSet<&str> = file.cases.iter().flat_map(|case| flags(&case.test)).collect();
    let explained: BTreeSet<&str> =
        file.content["flags"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    for flag in named.difference(&explained) {
        wrong.push(format!("{path}: the flag {flag} is not explained"));
    }
    for flag in explained.difference(&named) {
        wrong.push(format!("{path}: the flag {flag} is explained and not used"));
    }
}

fn flags(test: &Value) -> impl Iterator<Item = &str> {
    test["flags"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// JSON texts that are expected have to be JSON: everything else about them would be judged wrongly.
fn readable(value: &Value) -> Result<(), String> {
    match value {
        Value::Object(members) => members.iter().try_for_each(|(key, member)| {
            if matches!(key.as_str(), "json" | "metadata")
                && (member.get("hex").is_some() || member.get("text").is_some())
            {
                let text = bytes_of(member).unwrap_or_default();
                return crate::value::Value::parse(&text).map(drop).map_err(|what| format!("{key}: {what}"));
            }
            readable(member)
        }),
        Value::Array(items) => items.iter().try_for_each(readable),
        _ => Ok(()),
    }
}

/// The ids of SPEC.md's clauses.
///
/// They are those beside the vectors, or else those that the runner was built beside.
pub fn clauses(vectors: &Vectors) -> BTreeSet<String> {
    let beside = vectors.folder.join("../SPEC.md");
    let spec = std::fs::read_to_string(beside)
        .or_else(|_| std::fs::read_to_string(repository().join("conformance/SPEC.md")));
    let spec = spec.unwrap_or_default();
    let ids = spec.lines().filter_map(|line| line.strip_prefix("**")?.split_once(".**")).map(|(id, _)| id);
    ids.filter(|id| id.contains('-')).map(str::to_owned).collect()
}

/// The clauses that no case cites.
pub fn uncited(vectors: &Vectors) -> Vec<String> {
    let cited: BTreeSet<&str> = vectors.cases().flat_map(|case| case.clause.split(", ")).collect();
    clauses(vectors).into_iter().filter(|clause| !cited.contains(clause.as_str())).collect()
}
