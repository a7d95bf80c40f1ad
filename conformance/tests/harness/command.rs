//! The program: exit status, known failures, files.

use std::path::Path;
use std::process::{Command, Output};

use natsbridge_conformance::report::{Report, load_all};

use crate::{folder, python};

fn program(arguments: &[&str]) -> Output {
    let vectors = folder("tests/harness/vectors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsbridge-conformance"));
    command.args(arguments);
    if arguments[0] == "run" {
        command.arg("--vectors").arg(vectors);
    }
    command.output().unwrap()
}

fn run(mode: &str, more: &[&str]) -> Output {
    let testee = python("testees/broken/broken.py", mode);
    program(&[&["run", "--testee", &testee, "--timeout", "1.5"], more].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_exit_status_follows() {
    let known = tempfile::tempdir().unwrap();
    let known = known.path().join("none.txt");
    let known = ["--known", known.to_str().unwrap()];
    assert_eq!(run("right", &known).status.code(), Some(0));
    assert_eq!(run("drop-last", &known).status.code(), Some(1));
    assert_eq!(run("accept-all", &known).status.code(), Some(2));
    assert_eq!(run("dead", &known).status.code(), Some(2));
    assert_eq!(program(&["guess"]).status.code(), Some(2));
    assert_eq!(program(&["run"]).status.code(), Some(2));
    // A mistyped id is told, with those that there are.
    let unknown = run("right", &[&known[..], &["--only", "tiny-9999"]].concat());
    assert_eq!(unknown.status.code(), Some(2));
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(told.contains("no case tiny-9999: base64 has tiny-0001 to tiny-0007"), "{told}");
    assert_eq!(program(&["run", "--help"]).status.code(), Some(0));
    let only = run("drop-last", &[&known[..], &["--only", "tiny-0001"]].concat());
    assert_eq!(only.status.code(), Some(0), "{}", text(&only));
}

#[test]
fn a_failure_is_shown_with_both_sides_and_the_command_that_runs_it_again() {
    let output = text(&run("drop-last", &["--known", "/dev/null"]));
    for part in [
        "FAIL: tiny-0002 (must, B64-3)",
        "padding, cut everywhere",
        r#"got       data: Man"#,
        "expected  Many",
        "natsbridge-conformance run --testee 'python3 ",
        "--known /dev/null --vectors ",
        "--only tiny-0002",
        "vectors: 5 passed, 1 failed, 1 not supported",
        r#"asked     {"in":{"data":{"text":"TWFueQ=="}},"op":"base64.decode"}"#,
        "smoke: ok",
    ] {
        assert!(output.contains(part), "{part} is not in\n{output}");
    }
}

#[test]
fn known_failures_have_to_stay_true() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known.txt");
    let known = ["--known", path.to_str().unwrap()];

    // Written by the runner: the reasons are missing, so the run fails still.
    let fixed = run("drop-last", &[&known[..], &["--fix"]].concat());
    assert!(text(&fixed).contains("every line needs a reason"));
    let list = std::fs::read_to_string(&path).unwrap();
    assert_eq!(list, "tiny-0002  # differs at data\n");
    let output = run("drop-last", &known);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("listed as a known failure, but without a reason"), "{}", text(&output));
    assert!(text(&output).contains("5 passed, 1 failed, 1 not supported"), "{}", text(&output));

    // Explained: the run passes.
    std::fs::write(&path, "tiny-0002  # differs at data  -- the runtime loses bytes\n").unwrap();
    let output = run("drop-last", &known);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));

    // It passes again, or fails in another way, or is no case: the line is stale.
    for (list, mode, part) in [
        ("tiny-0002  # differs at data  -- x\n", "right", "STALE: tiny-0002"),
        ("tiny-0002  # accept  -- x\n", "drop-last", "listed as a known failure, but as: accept"),
        ("tiny-9999  # accept  -- x\n", "right", "tiny-9999, which is no case of this run"),
        ("tiny-0007  # accept  -- x\n", "right", "STALE: tiny-0007"),
    ] {
        std::fs::write(&path, list).unwrap();
        let output = run(mode, &known);
        assert_eq!(output.status.code(), Some(1), "{list}: {}", text(&output));
        assert!(text(&output).contains(part), "{list}: {}", text(&output));
    }
    let fixed = run("right", &[&known[..], &["--fix"]].concat());
    assert!(fixed.status.code().is_some());
}

#[test]
fn reports_are_complete_and_merge_into_one_page() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    run("drop-last", &["--known", "/dev/null", "--report", folder]);
    let known = ["--known", "/dev/null", "--report", folder];
    assert_eq!(program(&[&["run", "--testee", "engine"], &known[..]].concat()).status.code(), Some(0));

    let reports = load_all(dir.path()).unwrap();
    let names: Vec<&str> = reports.iter().map(Report::name).collect();
    assert_eq!(names, ["broken", "engine"]);
    assert!(!reports[0].is_ok() && reports[1].is_ok());

    let page = std::fs::read_to_string(dir.path().join("index.html")).unwrap();
    assert!(
        page.contains("1 of 6 failed") && page.contains("tiny-0002") && page.contains("There are failures")
    );
    for outside in ["http://", "https://", "src=", "@import"] {
        let own = page.replace("http://127.0.0.1", "").replace("http://localhost", "");
        assert!(!own.contains(outside), "the page needs {outside}");
    }
    let junit = std::fs::read_to_string(dir.path().join("broken.junit.xml")).unwrap();
    assert!(junit.contains("tests=\"7\" failures=\"1\" skipped=\"1\""), "{junit}");

    // A run that was cut off is no success, and reports of different vectors do not mix.
    cut_off(&dir.path().join("engine.jsonl"));
    assert!(!load_all(dir.path()).unwrap()[1].is_ok());
    assert_eq!(program(&["report", folder]).status.code(), Some(1));
    let text = std::fs::read_to_string(dir.path().join("broken.jsonl")).unwrap();
    let digest = reports[0].header["vectors"].as_str().unwrap();
    std::fs::write(dir.path().join("broken.jsonl"), text.replace(digest, &"0".repeat(64))).unwrap();
    assert!(load_all(dir.path()).unwrap_err().to_string().contains("different vectors"));
}

#[test]
fn a_port_that_was_not_run_is_shown_as_such_and_never_as_passed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let output = program(&["not-run", "julia", "no julia on the PATH", folder]);
    assert!(text(&output).contains("julia: NOT RUN: no julia on the PATH"), "{}", text(&output));
    let page = std::fs::read_to_string(dir.path().join("index.html")).unwrap();
    assert!(page.contains("julia was not run:</b> no julia on the PATH"));
    // It counts as skipped; and a folder in which nothing passed is no success.
    let output = program(&["report", folder]);
    assert!(text(&output).contains("conformance: 0 passed, 0 failed, 1 skipped"), "{}", text(&output));
    assert_eq!(output.status.code(), Some(1));
    let output = program(&["report", folder, "it did not come up: x"]);
    assert!(text(&output).contains("conformance: 0 passed, 1 failed, 1 skipped"), "{}", text(&output));
}

fn cut_off(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(path, lines[..lines.len() - 1].join("\n")).unwrap();
}

#[test]
fn new_cases_get_numbers_and_files_keep_their_form() {
    let dir = tempfile::tempdir().unwrap();
    let area = dir.path().join("base64");
    std::fs::create_dir(&area).unwrap();
    let path = area.join("base64.json");
    let original = std::fs::read_to_string(folder("tests/harness/vectors/base64/base64.json")).unwrap();
    let new = original.replace("\"id\":\"tiny-0003\"", "\"id\":\"\"");
    std::fs::write(&path, new).unwrap();
    assert!(program(&["add", path.to_str().unwrap()]).status.success());
    let added = std::fs::read_to_string(&path).unwrap();
    assert!(added.contains("\"id\":\"tiny-0008\"") && !added.contains("\"id\":\"\""), "{added}");
    assert!(program(&["lint", dir.path().to_str().unwrap()]).status.success());
    // Nothing to add: nothing changes.
    assert!(program(&["add", path.to_str().unwrap()]).status.success());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), added);
}

#[test]
fn lint_finds_what_a_schema_cannot_say() {
    let dir = tempfile::tempdir().unwrap();
    let area = dir.path().join("base64");
    std::fs::create_dir(&area).unwrap();
    let original = std::fs::read_to_string(folder("tests/harness/vectors/base64/base64.json")).unwrap();
    for (from, to, part) in [
        ("tiny-0003", "tiny-0002", "the id is there twice"),
        ("B64-5", "B64-99", "SPEC.md has no clause B64-99"),
        ("\"flags\":[\"Padding\"]", "\"flags\":[\"Pad\"]", "the flag Pad is not explained"),
        ("tiny-0007", "small-0007", "several prefixes"),
        ("\"TW Fu\"", "\"TWFu\"", "asks the same as tiny-0001"),
        ("\"level\":\"may\"", "\"level\":\"must\"", "demands nothing"),
        ("\"area\": \"base64\"", "\"area\": \"decode\"", "is not the folder's name"),
    ] {
        std::fs::write(area.join("base64.json"), original.replace(from, to)).unwrap();
        let output = program(&["lint", dir.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{to}");
        assert!(text(&output).contains(part), "{to}: {}", text(&output));
    }
    std::fs::write(
        area.join("base64.json"),
        original.replace("\"op\":\"base64.encode\"", "\"op\":\"base64\""),
    )
    .unwrap();
    let output = program(&["lint", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("tiny-0007: /tests/6/op"));
}
