//! Writing a vector file: numbers for new cases, the order of ids, one case a line.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::schema::{self, VECTORS};
use crate::{Failure, Result};

/// Gives numbers to the cases whose id is `""` or a bare prefix, after the highest there is; then formats the file.
///
/// # Errors
/// If the file cannot be read or written, or breaks the schema.
pub fn tidy(path: &Path) -> Result<()> {
    let wrong = |what: String| Failure::new(format!("{}: {what}", path.display()));
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut content: Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    number(&mut content).map_err(wrong)?;
    schema::check(VECTORS, "", &content).map_err(wrong)?;
    std::fs::write(path, formatted(&content)).map_err(|error| wrong(error.to_string()))
}

fn number(content: &mut Value) -> Result<(), String> {
    let Some(tests) = content["tests"].as_array_mut() else { return Err("there are no tests".to_owned()) };
    let parts = |test: &Value| {
        let (prefix, number) = test["id"].as_str()?.rsplit_once('-')?;
        Some((prefix.to_owned(), number.parse::<u32>().ok()?))
    };
    let highest = tests.iter().filter_map(parts).max_by_key(|(_, number)| *number);
    let bare =
        tests.iter().filter_map(|test| test["id"].as_str()).find(|id| !id.is_empty() && !id.contains('-'));
    let (prefix, mut last) = match (highest, bare) {
        (Some(highest), _) => highest,
        (None, Some(prefix)) => (prefix.to_owned(), 0),
        (None, None) => return Err("give the first case the prefix of the file's ids as its id".to_owned()),
    };
    for test in tests.iter_mut() {
        if parts(test).is_none() {
            last += 1;
            test["id"] = format!("{prefix}-{last:04}").into();
        }
    }
    tests.sort_by_key(|test| test["id"].as_str().unwrap_or_default().to_owned());
    Ok(())
}

/// The file with its heading spread out, and one case a line with its keys in alphabetical order.
fn formatted(content: &Value) -> String {
    let mut out = String::from("{\n");
    for key in ["schema", "area", "source", "flags"] {
        if let Some(value) = content.get(key) {
            // Writing to a string cannot fail.
            let _ = match value.as_object() {
                Some(members) if key == "flags" && !members.is_empty() => {
                    let lines: Vec<String> = members
                        .iter()
                        .map(|(name, value)| format!("    {}: {value}", Value::from(name.as_str())))
                        .collect();
                    writeln!(out, "  \"flags\": {{\n{}\n  }},", lines.join(",\n"))
                }
                _ => writeln!(out, "  \"{key}\": {value},"),
            };
        }
    }
    let tests: Vec<String> =
        content["tests"].as_array().into_iter().flatten().map(|test| format!("    {test}")).collect();
    let _ = write!(out, "  \"tests\": [\n{}\n  ]\n}}\n", tests.join(",\n"));
    out
}
