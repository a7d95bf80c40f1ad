//! The published schemas mean to others what they mean to the runner.

use std::io::Write as _;
use std::process::{Command, Stdio};

use natsbridge_conformance::schema::{VECTORS, WIRE, check};
use serde_json::{Value, json};

use crate::folder;

/// Values for the wire's schema, of which most are wrong in one place.
fn lines() -> Vec<Value> {
    let run = |op: &str, input: Value| json!({"cmd": "run", "seq": 3, "op": op, "in": input});
    vec![
        json!({"cmd": "start", "version": 1}),
        json!({"cmd": "start", "version": "1"}),
        json!({"cmd": "start"}),
        json!({"cmd": "stop"}),
        json!({"cmd": "pause"}),
        json!([]),
        run("base64.decode", json!({"data": {"hex": "00ff"}})),
        run("base64.decode", json!({"data": {"hex": "00f"}})),
        run("base64.decode", json!({"data": {"hex": "00", "text": "x"}})),
        run("base64.decode", json!({"data": {"text": "\u{e9}"}})),
        run("base64.decode", json!({"data": {"gen": {"seed": 1, "len": -1}}})),
        run("base64.decode", json!({})),
        run(
            "plan",
            json!({"payloads": [{"size": "18446744073709551615", "direct_len": 1, "link_len": null}],
            "threshold": 1, "max_payload": null, "base_len": 1, "store": true}),
        ),
        run(
            "plan",
            json!({"payloads": [{"size": "01", "direct_len": 1, "link_len": null}],
            "threshold": 1, "max_payload": null, "base_len": 1, "store": true}),
        ),
        run("retry.class", json!({"status": 503})),
        run("retry.class", json!({"status": 503, "failure": "connect"})),
        run("payload.write", json!({"type": "text", "text": "a"})),
        run("payload.write", json!({"type": "text"})),
        run("payload.write", json!({"type": "text", "text": "a", "json": {"text": "1"}})),
        run(
            "envelope.encode",
            json!({"dialect": "camel", "fields": {}, "payloads": [{"type": "x", "url": "http://h/"}]}),
        ),
        run("envelope.encode", json!({"dialect": "camel", "fields": {"to": "x"}, "payloads": []})),
        json!({"seq": 1, "ok": {}}),
        json!({"seq": 1, "ok": {}, "pieces": 2}),
        json!({"seq": 1, "ok": {}, "reject": {"kind": "limit"}}),
        json!({"seq": 1, "reject": {"kind": "limit", "offset": "12"}}),
        json!({"seq": 1, "reject": {"kind": "no"}}),
        json!({"seq": 1.0, "skip": "x"}),
        json!({"seq": 1.5, "skip": "x"}),
        json!({"seq": 1, "error": 7}),
        json!({"seq": 1, "ready": true}),
        json!({"seq": 1, "ready": false}),
        json!({"version": 1, "testee": {"name": "a", "language": "b", "version": "c"}, "profile": "full",
            "supports": ["plan"]}),
        json!({"version": 1, "testee": {"name": "A B", "language": "b", "version": "c"}, "profile": "full",
            "supports": ["plan"]}),
        json!({"version": 1, "testee": {"name": "a", "language": "b", "version": "c"}, "profile": "full",
            "supports": ["plan", "plan"]}),
        json!({"version": 1, "testee": {"name": "a", "language": "b", "version": "c"}, "profile": "half",
            "supports": []}),
    ]
}

const SCRIPT: &str = r#"
import json, sys
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
schemas = [json.load(open(f"{sys.argv[1]}/{name}.schema.json")) for name in ("wire", "vectors", "report")]
for schema in schemas:
    Draft202012Validator.check_schema(schema)
registry = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in schemas])
validators = {schema["$id"]: Draft202012Validator(schema, registry=registry) for schema in schemas}
for line in sys.stdin:
    name, value = json.loads(line)
    print(int(validators[name].is_valid(value)))
"#;

/// Python's `jsonschema` is the second opinion. `conformance/ports/setup.sh` installs it with the ports' packages.
#[test]
fn another_validator_comes_to_the_same_verdicts() {
    let repository = natsbridge_conformance::repository();
    let python = std::env::var_os("NATSBRIDGE_PEERS_VENV")
        .map_or_else(|| repository.join(".cache/peers-venv"), Into::into);
    let mut child = Command::new(repository.join(python).join("bin/python"))
        .args(["-c", SCRIPT])
        .arg(folder("protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a Python environment: run conformance/ports/setup.sh");
    let mut values: Vec<(&str, Value)> = lines().into_iter().map(|line| (WIRE, line)).collect();
    let text = std::fs::read(folder("tests/harness/vectors/base64/base64.json")).unwrap();
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    for (pointer, wrong) in [
        ("/area", json!("base")),
        ("/tests/0/id", json!("b64-1")),
        ("/tests/0/level", json!("shall")),
        ("/tests/0/clause", json!("RFC 4648")),
        ("/tests/0/comment", json!("")),
        ("/tests/0/in/data", json!({"hex": "q"})),
        ("/tests/0/expect", json!({"accept": {}, "reject": ["limit"]})),
        ("/tests/0/expect/accept/data", json!("Man")),
        ("/tests/2/expect/reject", json!([])),
        ("/tests/5/expect/either", json!({})),
        ("/tests/1/split", json!("every")),
        ("/tests/1/split", json!([1, 2])),
        ("/source", json!({"name": "x"})),
        ("/flags/Padding", json!({"effect": "x"})),
    ] {
        let mut vectors = vectors.clone();
        *vectors.pointer_mut(pointer).unwrap() = wrong;
        values.push((VECTORS, vectors));
    }
    values.push((VECTORS, vectors));
    let mut stdin = child.stdin.take().unwrap();
    for (name, value) in &values {
        writeln!(stdin, "{}", json!([name, value])).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "is jsonschema installed? run conformance/ports/setup.sh");
    let verdicts: Vec<bool> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line == "1").collect();
    assert_eq!(verdicts.len(), values.len());
    for ((name, value), other) in values.iter().zip(verdicts) {
        let own = check(name, "", value);
        assert_eq!(own.is_ok(), other, "{name}: {value} {own:?}");
    }
}
