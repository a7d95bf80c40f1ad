//! Ids of messages and payloads, and the time that a message is written at.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::timestamp;

/// An id: a new UUID, which is kept in place, or what the caller gave.
#[derive(Clone)]
pub(super) enum Id {
    Made([u8; Hyphenated::LENGTH]),
    Given(String),
}

impl Id {
    /// A new random UUID (version 4). The generator is the thread's own, seeded from the system's.
    pub(super) fn new() -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        Uuid::new_v4().hyphenated().encode_lower(&mut text);
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

/// Writes the time; only the milliseconds where the second is the one of the last call.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { second: 0, text: timestamp::format(UNIX_EPOCH) }
    }

    /// The text of `now`, as [`timestamp::format`] writes it.
    pub(super) fn text(&mut self, now: SystemTime) -> &str {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // `…:SS.mmmZ`: the milliseconds are the three digits before the last letter.
        let digits_at = self.text.len().saturating_sub("000Z".len());
        if since.as_secs() == self.second && since.as_secs() != 0 {
            let millis = since.subsec_millis();
            let digits =
                [millis / 100, millis / 10 % 10, millis % 10].map(|digit| char::from(b'0' + digit as u8));
            self.text.truncate(digits_at);
            self.text.extend(digits);
            self.text.push('Z');
        } else {
            self.second = since.as_secs();
            self.text = timestamp::format(now);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_clock_writes_what_the_formatter_writes() {
        let mut clock = Clock::new();
        for millis in [
            0,
            999,
            1_705_314_600_123,
            1_705_314_600_123,
            1_705_314_600_007,
            1_705_314_600_999,
            1_705_314_601_000,
            1_705_314_600_040,
            253_402_300_799_999,
            253_402_300_799_000,
            300_000_000_000_000,
            300_000_000_000_777,
        ] {
            let time = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(clock.text(time), timestamp::format(time));
        }
    }

    #[test]
    fn made_ids_are_different_lower_case_uuids() {
        let (one, other) = (Id::new(), Id::new());
        assert_ne!(one.as_str(), other.as_str());
        let uuid = Uuid::parse_str(one.as_str()).unwrap();
        assert_eq!((uuid.get_version_num(), uuid.to_string().as_str()), (4, one.as_str()));
    }
}
