//! The READMEs show code that compiles: each of their Rust blocks is a region of an example.
//!
//! `<!-- example: name -->` above a block names `examples/name.rs`; the region stands there between `// README` and
//! `// README end`. After changing an example, run this with `UPDATE_README=1` to bring the blocks up to date.

use std::fs;
use std::path::Path;

#[test]
fn every_rust_block_is_the_region_of_an_example() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    for readme in [engine.join("../README.md"), engine.join("README.md")] {
        let text = read(&readme);
        let (expected, blocks) = with_examples(&text);
        assert!(blocks > 0, "{} shows no example", readme.display());
        if std::env::var_os("UPDATE_README").is_some() {
            fs::write(&readme, expected).unwrap();
        } else if let Some((number, line)) = first_difference(&text, &expected) {
            panic!(
                "{}:{number} is not what the example says, which is {line:?}; UPDATE_README=1 copies it here",
                readme.display()
            );
        }
    }
}

#[test]
fn every_example_that_has_a_region_is_shown() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readmes = read(&engine.join("../README.md")) + &read(&engine.join("README.md"));
    for entry in fs::read_dir(engine.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        if path.is_file() && read(&path).contains("// README\n") {
            assert!(readmes.contains(&marker(name)), "no README shows the example {name}");
        }
    }
}

/// The text with every Rust block replaced by its example's region, and how many blocks there are.
fn with_examples(text: &str) -> (String, usize) {
    let mut out = String::new();
    let mut blocks = 0;
    let mut before = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if line.starts_with("```rust") {
            let name = before.strip_prefix("<!-- example: ").and_then(|rest| rest.strip_suffix(" -->"));
            let name = name.unwrap_or_else(|| panic!("a Rust block has no example above it, but {before:?}"));
            out.push_str(&region(name));
            out.push_str("```\n");
            assert!(lines.any(|line| line == "```"), "the block of {name} has no end");
            blocks += 1;
        }
        before = line;
    }
    assert_eq!(text.matches("<!-- example: ").count(), blocks, "an example's name has no block below it");
    (out, blocks)
}

/// The lines of the example between the markers, without their common indentation.
fn region(name: &str) -> String {
    let text = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{name}.rs")));
    let mut lines = text.lines().skip_while(|line| line.trim() != "// README").skip(1);
    let mut ended = false;
    let region: Vec<&str> = lines
        .by_ref()
        .take_while(|line| {
            ended = line.trim() == "// README end";
            !ended
        })
        .collect();
    assert!(ended && !region.is_empty(), "the example {name} has no region for the README");
    let indentation = |line: &&str| line.len() - line.trim_start().len();
    let common = region.iter().filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or(0);
    region.iter().map(|line| line.get(common..).unwrap_or_default().to_owned() + "\n").collect()
}

fn marker(name: &str) -> String {
    format!("<!-- example: {name} -->")
}

/// The 1-based number of the first line that differs, and what it should be.
fn first_difference<'a>(text: &str, expected: &'a str) -> Option<(usize, &'a str)> {
    let mut lines = text.lines();
    for (at, line) in expected.lines().enumerate() {
        if lines.next() != Some(line) {
            return Some((at + 1, line));
        }
    }
    lines.next().map(|_| (expected.lines().count() + 1, ""))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
