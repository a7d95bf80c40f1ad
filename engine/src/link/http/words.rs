//! What a server says about an error, and what of it may be repeated.

use std::collections::HashSet;
use std::ops::Range;

/// The beginning of a body that only explains an error.
#[derive(Default)]
pub(in crate::link) struct Words {
    pub(super) bytes: Vec<u8>,
    /// Whether that is all of it.
    pub(super) whole: bool,
}

/// As much of a secret gives it away (chosen: the ids of a Plik have 16 characters).
const FRAGMENT: usize = 8;

/// As many bytes at a cut may be the beginning of a fragment: a letter is spelled in eight at most, `\\u0041` being one.
const CUT: usize = 8 * FRAGMENT;

/// How often escaped text is escaped again.
const LAYERS: usize = 3;

impl Words {
    /// The words, fit for an error: one line of at most 200 characters without control characters, in which no secret of
    /// `secrets` is.
    ///
    /// A secret is hidden however it is spelled: as it is, percent-encoded, with JSON's escapes, and with white space or
    /// punctuation inside. So is every part of it that is [`FRAGMENT`] bytes long, and what may be the beginning of one
    /// where the words were cut.
    pub(in crate::link) fn snippet(&self, secrets: &[&str]) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = self.hide(&text, secrets);
        let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(200) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }

    fn hide(&self, text: &str, secrets: &[&str]) -> String {
        let mut hidden = vec![false; text.len()];
        for secret in secrets {
            for (secret_layer, secret) in layers(secret).take(2).enumerate() {
                for (kind, is_own) in [(is_visible as fn(&u8) -> bool, secret_layer == 0), (is_plain, false)]
                {
                    let secret = only(&secret, kind);
                    // What is left of a secret may be too short to be one.
                    if is_own || secret.len() >= FRAGMENT {
                        layers(text)
                            .take(LAYERS)
                            .for_each(|text| hide_in(&only(&text, kind), &secret, &mut hidden));
                    }
                }
            }
        }
        if !self.whole {
            // Nobody knows what these were to become.
            let visible = only(&plain(text), is_visible);
            if let Some((_, place)) = visible.get(visible.len().saturating_sub(CUT)) {
                hidden[place.start..].fill(true);
            }
        }
        let mut shown = String::with_capacity(text.len());
        let mut before = false;
        for (at, char) in text.char_indices() {
            let is_hidden = hidden[at..at + char.len_utf8()].contains(&true);
            match is_hidden {
                false => shown.push(char),
                true if !before => shown.push('…'),
                true => {}
            }
            before = is_hidden;
        }
        shown
    }
}

/// The secrets in a header's value: all of it, and what is behind its scheme, of which `Basic YWRh…` has one.
pub(in crate::link) fn secrets_of_header(value: &str) -> impl Iterator<Item = &str> {
    std::iter::once(value).chain(value.split_once(' ').map(|(_, credentials)| credentials))
}

/// A text's bytes, and where each of them came from.
type Letters = Vec<(u8, Range<usize>)>;

/// Hides every fragment of a secret.
fn hide_in(letters: &Letters, secret: &Letters, hidden: &mut [bool]) {
    let bytes = |letters: &Letters| letters.iter().map(|(byte, _)| *byte).collect::<Vec<u8>>();
    let (text, secret) = (bytes(letters), bytes(secret));
    let len = secret.len().min(FRAGMENT);
    if len == 0 {
        return;
    }
    let fragments: HashSet<&[u8]> = secret.windows(len).collect();
    for (at, window) in text.windows(len).enumerate() {
        if fragments.contains(window) {
            hidden[letters[at].1.start..letters[at + len - 1].1.end].fill(true);
        }
    }
}

/// White space and control characters may be anywhere in a secret that is shown.
fn is_visible(byte: &u8) -> bool {
    !byte.is_ascii_whitespace() && !byte.is_ascii_control()
}

/// The letters that no spelling changes.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn only(letters: &Letters, kind: fn(&u8) -> bool) -> Letters {
    letters.iter().filter(|(byte, _)| kind(byte)).cloned().collect()
}

fn plain(text: &str) -> Letters {
    text.bytes().enumerate().map(|(at, byte)| (byte, at..at + 1)).collect()
}

/// A text as it is, and then with its escapes resolved, once and again.
fn layers(text: &str) -> impl Iterator<Item = Letters> {
    std::iter::successors(Some(plain(text)), |letters| Some(resolve(letters)))
}

/// Resolves `%41`, `\u0041` and `\"`.
fn resolve(letters: &Letters) -> Letters {
    let mut resolved = Letters::with_capacity(letters.len());
    let mut rest = letters.as_slice();
    while let Some(((byte, place), after)) = rest.split_first() {
        let hex = |from: usize, digits: usize| {
            let mut digits = after.get(from..from + digits)?.iter();
            digits.try_fold(0, |sum, (digit, _)| Some(sum * 16 + char::from(*digit).to_digit(16)?))
        };
        let next = after.first().map(|(byte, _)| *byte);
        let (code, taken): (Vec<u8>, usize) = match (byte, next) {
            (b'%', _) => match hex(0, 2) {
                // Two digits are one byte.
                Some(code) => (vec![code as u8], 2),
                None => (vec![b'%'], 0),
            },
            (b'\\', Some(b'u')) => {
                let high = hex(1, 4);
                let low =
                    matches!(after.get(5..7), Some([(b'\\', _), (b'u', _)])).then(|| hex(7, 4)).flatten();
                let pair = match (high, low) {
                    (Some(high @ 0xD800..0xDC00), Some(low @ 0xDC00..0xE000)) => {
                        char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
                    }
                    _ => None,
                };
                match (pair, high.and_then(char::from_u32)) {
                    (Some(char), _) => (char.to_string().into_bytes(), 11),
                    (None, Some(char)) => (char.to_string().into_bytes(), 5),
                    (None, None) => (Vec::new(), 0),
                }
            }
            (b'\\', Some(b'n' | b'r' | b't' | b'b' | b'f')) => (vec![b' '], 1),
            (b'\\', Some(byte)) => (vec![byte], 1),
            _ => (vec![*byte], 0),
        };
        let end =
            taken.checked_sub(1).and_then(|last| after.get(last)).map_or(place.end, |(_, last)| last.end);
        resolved.extend(code.iter().map(|byte| (*byte, place.start..end)));
        rest = &after[taken..];
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snippet(bytes: &[u8], secrets: &[&str]) -> String {
        Words { bytes: bytes.to_vec(), whole: true }.snippet(secrets)
    }

    #[test]
    fn the_credentials_of_a_header_are_a_secret_of_their_own() {
        for (header, words, shown) in [
            ("Basic YWRhOlNFQ1JFVFNFQ1JFVA==", "no YWRhOlNFQ1JFVFNFQ1JFVA!", "no …!"),
            ("Basic YTpi", "no YTpi here", "no … here"),
            ("Bearer TOKEN", "no TOKEN here", "no … here"),
            ("TOKEN", "no TOKEN here", "no … here"),
        ] {
            let secrets: Vec<_> = secrets_of_header(header).collect();
            assert_eq!(snippet(words.as_bytes(), &secrets), shown, "{header}: {words}");
        }
        // A password with a space is one word.
        assert_eq!(snippet(b"missing class", &["pa ss"]), "missing class");
    }

    #[test]
    fn a_servers_words_become_one_harmless_line() {
        let text = snippet(b"file a/TOKEN is\r\n\x1b[31m  too big\0\n\xff\n", &["TOKEN", ""]);
        assert_eq!(text, "file a/… is [31m too big \u{fffd}");
        assert_eq!(snippet("é".repeat(300).as_bytes(), &[]).chars().count(), 201);
        assert_eq!(snippet(b" \n", &[]), "");
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_spelled() {
        let header = "Basic YWRhOlNFQ1JFVFNFQ1JFVA==";
        let path = "/files/0123456789abcdef-my%20name";
        for (secret, words, shown) in [
            (header, "no Basic YWRhOlNFQ1JFVFNFQ1JFVA==!", "no …!"),
            (header, "no YWRhOlNF Q1JF\r\nVFNFQ1JFVA== here", "no … here"),
            ("pa\"SECRET\\word", r#"{"password":"pa\"SECRET\\word"}"#, r#"{"password":"…"}"#),
            ("a\"\\b", r#"{"password":"a\"\\b"}"#, r#"{"password":"…"}"#),
            ("a\"\\b", r#""{\"password\":\"a\\\"\\\\b\"}""#, r#""{\"password\":\"…\"}""#),
            ("a\"\\b", r#"{"password":"\u0061\u0022\u005Cb"}"#, r#"{"password":"…"}"#),
            ("пароль", r#"{"password":"\u043f\u0430\u0440\u043e\u043b\u044c"}"#, r#"{"password":"…"}"#),
            ("пароль", "of %D0%BF%D0%B0%d1%80%D0%BE%D0%BB%D1%8C.", "of …."),
            ("p😀s😀w", r#"{"password":"p\ud83d\ude00s\uD83D\uDE00w"}"#, r#"{"password":"…"}"#),
            ("TOKENTOKEN", r"\ud83d\ude\ud83d\u0054OKENTOKEN", r"\ud83d\ude\ud83d…"),
            ("a/b+c=d", "of a%2Fb%2bc%3Dd.", "of …."),
            ("a/b+c=d", "of a%252Fb%252bc%253Dd.", "of …."),
            (path, "no /files/0123456789abcdef-my name.", "no …."),
            (path, "no 0123456789abcdef here", "no … here"),
            ("0123456789abcdef", "no 01234567-89abcdef here", "no … here"),
            ("0123456789abcdef", "no 0123456789ab… here", "no …… here"),
            ("0123456789abcdef", "no 0123\u{0}456\u{7f}789a\tbcdef here", "no … here"),
            ("%&/()!", "of %&/ ()! here", "of … here"),
            ("TOKENTOKENTOKEN0", "another token, at 100 %", "another token, at 100 %"),
        ] {
            assert_eq!(snippet(words.as_bytes(), &[secret]), shown, "{secret}: {words}");
        }
    }

    #[test]
    fn nothing_of_a_secret_is_left_where_the_words_were_cut() {
        let secret = "TOKENTOKENTOKENTOKENTOKENTOKEN12";
        let spellings: [fn(char) -> String; 4] = [
            String::from,
            |c| format!("{c}-"),
            |c| format!("\\u{:04x}", u32::from(c)),
            |c| format!("\\\\u{:04x}", u32::from(c)),
        ];
        for spelling in spellings {
            let spelled: String = secret.chars().map(spelling).collect();
            for len in 0..=spelled.len() {
                let words = Words { bytes: format!("none: {}", &spelled[..len]).into_bytes(), whole: false };
                let shown = words.snippet(&[secret]);
                assert!(shown.strip_suffix('…').is_some_and(|left| "none: ".starts_with(left)), "{shown}");
            }
        }
        assert_eq!(Words::default().snippet(&[secret]), "");
    }
}
