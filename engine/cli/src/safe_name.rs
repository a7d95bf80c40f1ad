//! File names made of names that somebody else chose.

use crate::output::is_hostile;

/// The longest name in bytes, before a number is added: far below every file system's limit of 255.
const MAX_LEN: usize = 120;
/// An extension longer than this is no extension worth keeping when a name is cut.
const MAX_EXTENSION: usize = 16;

/// A name that is safe in any folder on any system: no separators, no `..`, no leading dot or dash, no control
/// characters, no device names of Windows, at most 120 bytes. `fallback` is for names of which nothing is left.
pub(crate) fn safe_name(name: &str, fallback: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for char in name.chars() {
        let forbidden =
            is_hostile(char) || matches!(char, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
        match char {
            _ if forbidden => out.push('_'),
            // Two dots in a row mean a parent folder to somebody.
            '.' if out.ends_with('.') => {}
            _ => out.push(char),
        }
    }
    let unsafe_ends = |char: char| char == '.' || char.is_whitespace();
    let trimmed =
        out.trim_start_matches(|char| unsafe_ends(char) || char == '-').trim_end_matches(unsafe_ends);
    let cut = cut(trimmed);
    let cut = cut.trim_end_matches(unsafe_ends);
    if cut.chars().all(|char| char == '_' || char == '.') {
        return fallback.to_owned();
    }
    if is_device(cut) { format!("_{cut}") } else { cut.to_owned() }
}

/// The name with `-2`, `-3`, … before its extension.
pub(crate) fn numbered(name: &str, number: u64) -> String {
    if number < 2 {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    format!("{stem}-{number}{extension}")
}

/// Adds an extension to a name that has none.
pub(crate) fn with_extension(name: String, extension: &str) -> String {
    if split(&name).1.is_empty() && !extension.is_empty() { format!("{name}.{extension}") } else { name }
}

/// The name, and its extension with the dot; the extension is empty if there is none to speak of.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    }
}

fn cut(name: &str) -> String {
    if name.len() <= MAX_LEN {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    let mut end = stem.len().min(MAX_LEN - extension.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &stem[..end])
}

/// Names that are devices on Windows, whatever their extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    if matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$") {
        return true;
    }
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    port.is_some_and(|digit| {
        matches!(digit.chars().collect::<Vec<_>>()[..], ['0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}'])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_names_become_harmless() {
        for (name, expected) in [
            ("photo.png", "photo.png"),
            ("größe 日本.txt", "größe 日本.txt"),
            ("_private", "_private"),
            ("../../etc/x", "_._etc_x"),
            ("..", "fallback"),
            (".", "fallback"),
            ("", "fallback"),
            ("...", "fallback"),
            ("/", "fallback"),
            ("../..", "fallback"),
            ("/etc/passwd", "_etc_passwd"),
            ("C:\\Windows\\x", "C__Windows_x"),
            ("\\\\server\\share", "__server_share"),
            ("file:stream", "file_stream"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("- .-x", "x"),
            ("a\0b", "a_b"),
            ("a\nb\x1b[0m", "a_b_[0m"),
            ("gpj.\u{202e}exe", "gpj._exe"),
            ("con", "_con"),
            ("NUL.txt", "_NUL.txt"),
            ("com1", "_com1"),
            ("COM\u{b9}.x", "_COM\u{b9}.x"),
            ("lpt9.tar.gz", "_lpt9.tar.gz"),
            ("com10", "com10"),
            ("console", "console"),
            ("a. . ", "a"),
            ("a..b", "a.b"),
            ("a?*\"<>|b", "a______b"),
        ] {
            assert_eq!(safe_name(name, "fallback"), expected, "{name:?}");
        }
    }

    #[test]
    fn long_names_are_cut_and_keep_their_extension() {
        let name = safe_name(&format!("{}.jpeg", "ä".repeat(400)), "f");
        assert!(name.len() <= MAX_LEN && name.ends_with("ä.jpeg"), "{name}");
        let name = safe_name(&format!("a.{}", "x".repeat(400)), "f");
        assert_eq!(name.len(), MAX_LEN);
    }

    #[test]
    fn collisions_are_numbered_before_the_extension() {
        assert_eq!(numbered("a.png", 1), "a.png");
        assert_eq!(numbered("a.png", 2), "a-2.png");
        assert_eq!(numbered("a.tar.gz", 3), "a.tar-3.gz");
        assert_eq!(numbered("a", 2), "a-2");
        assert_eq!(with_extension("a".to_owned(), "txt"), "a.txt");
        assert_eq!(with_extension("a.md".to_owned(), "txt"), "a.md");
    }

    proptest! {
        #[test]
        fn every_name_stays_inside_its_folder(name in any::<String>(), dots in "[./\\\\: -]{0,9}") {
            for name in [name.clone(), format!("{dots}{name}"), format!("{name}{dots}"), dots.clone()] {
                let safe = safe_name(&name, "fallback");
                prop_assert!(!safe.is_empty() && safe.len() <= MAX_LEN + 1);
                prop_assert!(!safe.contains(['/', '\\', ':', '\0']) && !safe.contains(".."));
                prop_assert!(!safe.starts_with(['.', '-', ' ']) && !safe.ends_with(['.', ' ']));
                prop_assert!(!safe.chars().any(char::is_control));
                prop_assert_eq!(std::path::Path::new(&safe).components().count(), 1);
                prop_assert_eq!(safe_name(&safe, "fallback"), safe);
            }
        }
    }
}
