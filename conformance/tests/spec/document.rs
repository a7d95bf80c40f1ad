//! The blocks and tables of SPEC.md. What is not found is a failure: nothing is tested by looking for nothing.

use natsbridge_conformance::repository;

pub(crate) fn spec() -> String {
    std::fs::read_to_string(repository().join("conformance/SPEC.md")).unwrap()
}

/// The comment that begins with `marker`, and the lines of the fenced block behind it.
pub(crate) fn block(marker: &str) -> (String, Vec<String>) {
    let spec = spec();
    let mut lines = spec.lines();
    let comment = lines
        .find(|line| line.starts_with(&format!("<!-- {marker}")))
        .unwrap_or_else(|| panic!("SPEC.md has no block {marker:?}"));
    assert!(lines.next().unwrap().starts_with("```"), "no fence behind {marker:?}");
    let held: Vec<String> = lines.take_while(|line| *line != "```").map(str::to_owned).collect();
    assert!(!held.is_empty(), "{marker:?} is empty");
    (comment.to_owned(), held)
}

/// The lines of a block as (clause, message).
pub(crate) fn clauses(marker: &str) -> Vec<(String, String)> {
    let split = |line: &String| {
        let (clause, message) = line.split_once(' ').unwrap();
        (clause.to_owned(), message.trim_start().to_owned())
    };
    block(marker).1.iter().map(split).collect()
}

/// The rows of the table whose first line is `header`, as cells.
pub(crate) fn table(header: &str) -> Vec<Vec<String>> {
    let spec = spec();
    let rows: Vec<Vec<String>> = spec
        .lines()
        .skip_while(|line| *line != header)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "SPEC.md has no table {header:?}");
    rows
}

/// What stands between backquotes in a cell.
pub(crate) fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A number as people write it: `1,048,576`.
pub(crate) fn number(cell: &str) -> usize {
    cell.replace(',', "").parse().unwrap_or_else(|_| panic!("no number: {cell:?}"))
}
