//! SHA-256 as people write it.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// The digest of all pieces together, in lower-case hexadecimal digits.
pub(crate) fn sha256<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> String {
    let mut hasher = Sha256::new();
    pieces.into_iter().for_each(|piece| hasher.update(piece));
    hex(&hasher.finalize().into())
}

/// A digest in lower-case hexadecimal digits.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_count_as_one() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&[Bytes::from_static(b"abc")]), expected);
        assert_eq!(sha256(&["a", "", "bc"].map(Bytes::from)), expected);
    }
}
