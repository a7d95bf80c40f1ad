//! Standard output for data, standard error for everything else; text from others made harmless.

use std::io::{self, IsTerminal, Write};

use tokio::runtime::RuntimeFlavor;

use crate::exit::Failure;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Writes to standard output, now.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    // The reader may be slow: signals and the connection are looked after meanwhile.
    blocking(|| {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    })
    .map_err(|error| Failure::output("cannot write to standard output", error))
}

/// Does what may take any time, leaving this thread's other tasks to another one.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}

/// Writes a line to standard output, now.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(format!("{text}\n").as_bytes())
}

/// Writes one JSON value as a line.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::output("cannot write the result as JSON", io::Error::other(error)))?;
    line(&harmless_json(&text))
}

/// JSON text on one line, with everything spelled out in it that [`visible`] spells out.
fn harmless_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            // Inside strings they are spelled out already, so these are between values.
            '\n' | '\r' | '\t' => out.push(' '),
            _ if is_hostile(char) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(char),
        }
    }
    out
}

/// Writes a line to standard error. Where that is closed there is nobody to tell.
pub(crate) fn note(text: &str) {
    let _ = blocking(|| writeln!(io::stderr().lock(), "{text}"));
}

pub(crate) fn is_terminal(stream: Stream) -> bool {
    match stream {
        Stream::Stdout => io::stdout().is_terminal(),
        Stream::Stderr => io::stderr().is_terminal(),
    }
}

/// Colours are for terminals, and for people who have not set `NO_COLOR`.
pub(crate) fn colored(stream: Stream) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && is_terminal(stream)
}

/// Bold on a terminal, plain elsewhere.
pub(crate) fn bold(text: &str) -> String {
    if colored(Stream::Stdout) { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// Bold red on a terminal, plain elsewhere.
pub(crate) fn alarming(text: &str) -> String {
    if colored(Stream::Stdout) { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() }
}

/// A number of bytes, in groups of three digits.
pub(crate) fn bytes(count: u64) -> String {
    format!("{} byte{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A number in groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The text on one line, with everything spelled out that could move the cursor, colour the screen or reverse
/// the reading direction.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if is_hostile(char) { out.extend(char.escape_default()) } else { out.push(char) }
    }
    out
}

/// Control characters (line breaks included), and Unicode's invisible formatting and direction marks.
pub(crate) fn is_hostile(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (80_000_000, "80,000,000")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((bytes(1), bytes(2)), ("1 byte".to_owned(), "2 bytes".to_owned()));
    }

    #[test]
    fn json_commands_no_terminal_and_means_the_same() {
        let value = serde_json::json!({"a\u{7f}": "\u{9b}31m \u{202e} \u{e0041} \n\x1b größe \u{1f600}"});
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let text = harmless_json(&pretty);
        assert!(!text.chars().any(is_hostile), "{text}");
        assert!(text.contains("\\u009b31m \\u202e \\udb40\\udc41") && text.contains("größe"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn nothing_that_commands_a_terminal_gets_through() {
        assert_eq!(visible("a\x1b[31mb\r\n\u{9b}c\u{202e}d\t"), "a\\u{1b}[31mb\\r\\n\\u{9b}c\\u{202e}d\\t");
        assert_eq!(visible("größe 日本 \u{1f600}"), "größe 日本 \u{1f600}");
    }
}
