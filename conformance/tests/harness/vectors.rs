//! The project's own vectors: clean, and passed by the engine, whole.

use std::collections::BTreeSet;

use natsbridge_conformance::judge::Outcome;
use natsbridge_conformance::known::Known;
use natsbridge_conformance::lint::lint;
use natsbridge_conformance::run::{Options, run};
use natsbridge_conformance::testee::{Inside, Session};
use natsbridge_conformance::vectors::{AREAS, Vectors, default_folder};

#[test]
fn they_are_clean_and_cover_every_area() {
    let vectors = Vectors::load(&default_folder()).unwrap();
    assert_eq!(lint(&vectors), Vec::<String>::new());
    let areas: BTreeSet<&str> = vectors.cases().map(|case| case.area.as_str()).collect();
    let expected: BTreeSet<&str> = AREAS.into_iter().filter(|area| *area != "live").collect();
    assert_eq!(areas, expected);
    assert!(vectors.cases().count() >= 600, "{} cases", vectors.cases().count());
}

#[test]
fn the_engine_passes_everything() {
    let vectors = Vectors::load(&default_folder()).unwrap();
    let mut session = Session::new(Box::new(Inside::new()));
    let run = run(&mut session, &vectors, &Known::default(), &Options::default(), &mut |_| {}).unwrap();
    let failed: Vec<String> = run
        .cases
        .iter()
        .filter(|judged| judged.verdict.outcome != Outcome::Pass)
        .map(|judged| format!("{}: {} {}", judged.case.id, judged.verdict.brief, judged.verdict.got))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(run.failures, Vec::<String>::new());
}
