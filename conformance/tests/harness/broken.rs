//! Every broken testee is noticed under the right name, and costs no more than it has to.

use std::time::Duration;

use natsbridge_conformance::judge::Outcome;
use natsbridge_conformance::known::Known;
use natsbridge_conformance::run::{NotRun, Options, Run};

use crate::{python, quick, run_command};

fn broken(mode: &str) -> Result<Run, NotRun> {
    run_command(python("testees/broken/broken.py", mode), &Known::default(), &quick())
}

/// The cases that did not pass, with what became of them; one that the testee does not support does not count.
fn lost(run: &Run) -> Vec<(&str, Outcome)> {
    let lost = run
        .cases
        .iter()
        .filter(|judged| !matches!(judged.verdict.outcome, Outcome::Pass | Outcome::Unsupported));
    lost.map(|judged| (judged.case.id.as_str(), judged.verdict.outcome)).collect()
}

#[test]
fn the_same_testee_with_nothing_wrong_passes() {
    let run = broken("right").unwrap();
    assert!(run.is_ok() && lost(&run).is_empty(), "{:?} {:?}", lost(&run), run.failures);
    assert_eq!((run.count(Outcome::Pass), run.count(Outcome::Unsupported)), (6, 1));
}

#[test]
fn a_harness_that_accepts_or_refuses_everything_is_told_from_an_implementation() {
    for (mode, text) in [("accept-all", "`reject`"), ("reject-all", "`ok`")] {
        let error = broken(mode).unwrap_err();
        assert_eq!(error.outcome, "smoke", "{mode}");
        assert!(error.what.contains(text), "{mode}: {}", error.what);
    }
}

#[test]
fn wrong_answers_fail_their_cases_and_no_others() {
    for (mode, expected) in [
        // The sixth is a may: it is wrong, and fails no run.
        ("accept-rest", vec!["tiny-0003", "tiny-0004", "tiny-0005", "tiny-0006"]),
        ("drop-last", vec!["tiny-0002"]),
        ("ignore-split", vec!["tiny-0002", "tiny-0003"]),
        ("first-piece", vec!["tiny-0002", "tiny-0003"]),
    ] {
        let run = broken(mode).unwrap();
        let expected: Vec<(&str, Outcome)> = expected.into_iter().map(|id| (id, Outcome::Fail)).collect();
        assert_eq!(lost(&run), expected, "{mode}");
        assert!(!run.is_ok(), "{mode}");
    }
    let run = broken("ignore-split").unwrap();
    assert!(run.cases.iter().any(|judged| judged.verdict.brief == "ignores split"));
}

/// The fifth request is the second of the second case.
#[test]
fn what_breaks_the_protocol_costs_one_case_and_the_run_goes_on() {
    for (mode, outcome, text) in [
        ("wrong-seq", Outcome::Protocol, "out of order: seq 12 in place of 5"),
        ("twice", Outcome::Protocol, ""),
        ("hang", Outcome::Timeout, "no answer within 1500 ms"),
        ("crash", Outcome::Crash, "exit status: 3"),
        ("exit-0", Outcome::Crash, "exit status: 0"),
        ("chatter", Outcome::Protocol, "a line that is not JSON: decoding ..."),
        ("half-line", Outcome::Protocol, "a line that is not JSON: {\"seq\":5,\"o"),
        ("long-line", Outcome::Protocol, "a line of more than 16777216 bytes"),
        ("wrong-shape", Outcome::Protocol, "not a valid ok of base64.decode: /data"),
        ("error", Outcome::Error, "IndexError: list index out of range"),
    ] {
        let run = broken(mode).unwrap();
        assert_eq!(lost(&run), [("tiny-0002", outcome)], "{mode}: {:?}", run.failures);
        let judged = run.cases.iter().find(|judged| judged.verdict.outcome == outcome).unwrap();
        assert!(judged.verdict.got.contains(text), "{mode}: {}", judged.verdict.got);
        assert!(!run.is_ok() && run.failures.is_empty(), "{mode}: {:?}", run.failures);
        if mode == "crash" {
            assert_eq!(judged.note, "broken: the fifth is too many");
        }
    }
}

#[test]
fn a_testee_that_names_what_it_skips_fails_the_run() {
    let run = broken("pretend").unwrap();
    assert!(
        run.failures.iter().any(|failure| failure.contains("base64.encode, and skips all of it")),
        "{:?}",
        run.failures
    );
    assert_eq!(lost(&run), [("tiny-0007", Outcome::Skip)]);
}

#[test]
fn a_testee_that_does_not_come_up_is_no_run() {
    let mut options: Options = quick();
    options.start_within = Duration::from_millis(1500);
    for (mode, outcome, text) in [
        ("mute", "timeout", "no answer to \"start\" within 1.5 s. Does the testee end its line with LF"),
        ("dead", "crash", "broken: no such file"),
        ("unknown-op", "protocol", "base64.guess"),
    ] {
        let command = python("testees/broken/broken.py", mode);
        let error = run_command(command, &Known::default(), &options).unwrap_err();
        assert_eq!(error.outcome, outcome, "{mode}: {}", error.what);
        assert!(error.what.contains(text), "{mode}: {}", error.what);
    }
    let error = run_command("/no/such/program".to_owned(), &Known::default(), &options).unwrap_err();
    assert_eq!(error.outcome, "crash");
}

#[test]
fn a_testee_that_does_not_end_well_fails_the_run() {
    for (mode, text) in
        [("deaf", "stop: no answer within"), ("sour", "stop: the testee ended: exit status: 1")]
    {
        let run = broken(mode).unwrap();
        assert!(lost(&run).is_empty());
        assert!(run.failures.iter().any(|failure| failure.starts_with(text)), "{mode}: {:?}", run.failures);
    }
}

#[test]
fn a_testee_that_cannot_be_started_again_is_asked_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mode = format!("once '{}'", dir.path().join("taken").display());
    let run = broken(&mode).unwrap();
    let lost = lost(&run);
    assert_eq!(lost.first(), Some(&("tiny-0002", Outcome::Crash)));
    assert!(lost.len() == 5 && lost.iter().all(|(_, outcome)| *outcome == Outcome::Crash), "{lost:?}");
    assert!(run.failures[0].starts_with("it cannot be started again"), "{:?}", run.failures);
}

#[test]
fn a_run_without_a_case_is_a_failure() {
    let mut options = quick();
    options.areas = vec!["tables".to_owned()];
    let run = run_command(python("testees/broken/broken.py", "right"), &Known::default(), &options).unwrap();
    let [failure] = run.failures.as_slice() else { panic!("{:?}", run.failures) };
    assert!(
        failure.starts_with("no case was run: 7 cases in ")
            && failure.contains("none of them in area tables")
    );
    assert!(!run.is_ok());
}
