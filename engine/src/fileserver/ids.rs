//! Unpredictable names: upload and file ids, upload tokens, and the secrets that are compared with them.

use std::{fmt, io};

/// Letters and digits, as Plik draws them.
const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Bytes from here up would make the first letters of the alphabet likelier than the others.
const FAIR: u8 = 62 * 4;

/// `len` letters and digits from the operating system's random source.
///
/// Knowing the 16 letters of an id is what lets a client read a file (about 95 bits), so a predictable
/// generator would publish every upload.
pub(super) fn random_id(len: usize) -> io::Result<String> {
    let mut id = String::with_capacity(len);
    let mut random = [0u8; 64];
    loop {
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        for byte in random.into_iter().filter(|byte| *byte < FAIR) {
            if id.len() == len {
                return Ok(id);
            }
            id.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        }
    }
}

/// A token or a password: compared, never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one answer that hands it to its owner.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `guess` is the secret; the time taken tells nothing but the length.
    pub(super) fn matches(&self, guess: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        secret.len() == guess.len() && secret.iter().zip(guess).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_asked_length_and_only_letters_and_digits() {
        for len in [0, 1, 16, 32, 200] {
            let id = random_id(len).unwrap();
            assert_eq!(id.len(), len);
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        }
        assert_ne!(random_id(16).unwrap(), random_id(16).unwrap());
    }

    #[test]
    fn a_secret_matches_itself_only_and_is_never_printed() {
        let secret = Secret::new("abc");
        assert!(secret.matches(b"abc"));
        assert!(!secret.matches(b"abd") && !secret.matches(b"ab") && !secret.matches(b""));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
