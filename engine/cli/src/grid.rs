//! A small table of text: names above, rows below, columns aligned.

use serde_json::Value;

use crate::output::{grouped, visible};

const MAX_COLUMNS: usize = 8;
const MAX_WIDTH: usize = 24;

/// The names, the cells of the given rows in the order of the names, and how many rows there are where more exist
/// than are given.
pub(crate) fn grid(names: &[String], rows: &[Vec<Option<&Value>>], row_count: u64) -> Vec<String> {
    let shown = &names[..names.len().min(MAX_COLUMNS)];
    let mut lines = vec![shown.iter().map(|name| cell(name)).collect::<Vec<_>>()];
    lines.extend(
        rows.iter()
            .map(|row| (0..shown.len()).map(|column| value(row.get(column).copied().flatten())).collect()),
    );
    let more_columns = names.len() - shown.len();
    if more_columns > 0 {
        lines[0].push(format!("… {more_columns} more columns"));
    }
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..shown.len()).map(width).collect();
    let mut out: Vec<String> = lines
        .iter()
        .map(|line| {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = widths.get(column).copied().unwrap_or(0);
                text.push_str(&format!("{cell:width$}  "));
            }
            text.trim_end().to_owned()
        })
        .collect();
    if row_count > rows.len() as u64 {
        out.push(format!("… {} rows", grouped(row_count)));
    }
    out
}

fn value(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => cell(text),
        Some(other) => cell(&other.to_string()),
    }
}

fn cell(text: &str) -> String {
    // A cell of many megabytes is not looked at beyond what is shown.
    let start: String = text.chars().take(MAX_WIDTH + 1).collect();
    let shown = visible(&start);
    if shown.chars().count() <= MAX_WIDTH {
        return shown;
    }
    shown.chars().take(MAX_WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_bounded() {
        let names: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
        let lines = grid(&names, &[vec![Some(&json!("long text")), Some(&json!(2)), None]], 100);
        assert_eq!(lines[0], "c0         c1  c2  c3  c4  c5  c6  c7  … 2 more columns");
        assert!(lines[1].starts_with("long text  2   -"), "{}", lines[1]);
        assert_eq!(lines[2], "… 100 rows");
        let (long, broken) = (json!("x".repeat(100)), json!("1\n2"));
        let lines = grid(&["a".to_owned()], &[vec![Some(&long)], vec![Some(&broken)]], 2);
        assert_eq!(lines[1], "x".repeat(23) + "…");
        assert_eq!(lines[2], "1\\n2");
    }
}
