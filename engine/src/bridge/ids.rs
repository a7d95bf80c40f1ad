//! Ids of messages and payloads.

use std::fmt;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// An id: a new UUID, which is kept in place, or what the caller gave.
#[derive(Clone)]
pub(super) enum Id {
    Made([u8; Hyphenated::LENGTH]),
    Given(String),
}

impl Id {
    /// A new random UUID (version 4). The generator is the thread's own, seeded from the system's.
    pub(super) fn new() -> Self {
        Self::made(Uuid::new_v4())
    }

    fn made(id: Uuid) -> Self {
        let mut text = [b'-'; Hyphenated::LENGTH];
        for (byte, at) in id.as_bytes().iter().zip(DIGITS_AT) {
            text[at..at + 2].copy_from_slice(&HEX[usize::from(*byte)]);
        }
        Self::Made(text)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            // Hexadecimal digits and hyphens, so this cannot fail.
            Self::Made(text) => std::str::from_utf8(text).unwrap_or_default(),
            Self::Given(text) => text,
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Where the digits of each byte stand in a UUID's text.
const DIGITS_AT: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// The two digits of every byte.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// A generator of ids for one task: xoshiro256++ (Blackman and Vigna), seeded from the thread's generator, and so from the
/// system. Ids must not repeat; that nobody can guess them is not asked of them, since whoever listens reads them.
#[derive(Debug)]
pub(super) struct Ids {
    state: [u64; 4],
}

impl Ids {
    pub(super) fn new() -> Self {
        let ((a, b), (c, d)) = (Uuid::new_v4().as_u64_pair(), Uuid::new_v4().as_u64_pair());
        Self { state: [a, b, c, d] }
    }

    pub(super) fn next(&mut self) -> Id {
        let (high, low) = (self.step(), self.step());
        let random = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        Id::made(uuid::Builder::from_random_bytes(random).into_uuid())
    }

    fn step(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_are_different_lower_case_uuids() {
        let mut ids = Ids::new();
        let mut all: Vec<Id> = std::iter::repeat_with(|| ids.next()).take(1000).collect();
        all.extend([Id::new(), Id::new(), Ids::new().next(), Ids::new().next()]);
        for id in &all {
            let uuid = Uuid::parse_str(id.as_str()).unwrap();
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (4, uuid::Variant::RFC4122));
            assert_eq!(uuid.to_string(), id.as_str());
        }
        let distinct: std::collections::HashSet<&str> = all.iter().map(Id::as_str).collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs of the reference implementation for the state 1, 2, 3, 4.
        let mut ids = Ids { state: [1, 2, 3, 4] };
        let outputs = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!([0; 4].map(|_: u64| ids.step()), outputs);
    }
}
