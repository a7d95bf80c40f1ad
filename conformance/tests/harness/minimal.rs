//! The testee that README.md shows.

use natsbridge_conformance::judge::Outcome;
use natsbridge_conformance::known::Known;
use natsbridge_conformance::repository;

use crate::{python, quick, run_command};

#[test]
fn it_passes_a_first_case_and_fails_where_python_is_lenient_or_strict_in_another_way() {
    let run = run_command(python("testees/minimal.py", ""), &Known::default(), &quick()).unwrap();
    let outcomes: Vec<(&str, Outcome)> =
        run.cases.iter().map(|judged| (judged.case.id.as_str(), judged.verdict.outcome)).collect();
    assert_eq!(
        outcomes,
        [
            ("tiny-0001", Outcome::Pass),
            ("tiny-0002", Outcome::Pass),
            ("tiny-0003", Outcome::Pass),
            ("tiny-0004", Outcome::Pass),
            ("tiny-0005", Outcome::Fail),
            ("tiny-0006", Outcome::Pass),
            ("tiny-0007", Outcome::Unsupported),
        ]
    );
    assert_eq!(run.cases[1].note, "in one piece only");
}

#[test]
fn the_readme_shows_it_as_it_is() {
    let readme = std::fs::read_to_string(repository().join("conformance/README.md")).unwrap();
    let testee = std::fs::read_to_string(repository().join("conformance/testees/minimal.py")).unwrap();
    assert!(
        readme.contains(&format!("```python\n{testee}```")),
        "conformance/README.md shows another testee"
    );
}
