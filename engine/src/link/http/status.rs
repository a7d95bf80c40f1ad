//! What an answer that is not a file means.

use std::time::{Duration, SystemTime};

use super::Reply;
use crate::link::date::http_date;
use crate::link::origin::Origin;
use crate::{Error, ErrorKind};

/// Which way the bytes go: it decides the kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::link) enum Direction {
    Download,
    Upload,
}

impl Direction {
    /// The server says no, or makes no sense; trying again is pointless.
    pub(in crate::link) fn rejected(self) -> ErrorKind {
        match self {
            Self::Download => ErrorKind::LinkRejected,
            Self::Upload => ErrorKind::UploadRejected,
        }
    }

    /// The server cannot, just now.
    pub(in crate::link) fn unavailable(self) -> ErrorKind {
        match self {
            Self::Download => ErrorKind::LinkUnavailable,
            Self::Upload => ErrorKind::UploadUnavailable,
        }
    }

    /// The answer ended in the middle.
    pub(in crate::link) fn cut_short(self) -> ErrorKind {
        match self {
            Self::Download => ErrorKind::LinkTruncated,
            Self::Upload => ErrorKind::Network,
        }
    }
}

/// The error for an answer with any status but 200. `text` is what the server says about it, made safe by
/// [`Words::snippet`](super::Words::snippet).
pub(in crate::link) fn status_error(
    direction: Direction,
    origin: &Origin,
    reply: &Reply,
    text: Option<&str>,
) -> Error {
    let status = reply.status();
    // Plik hides errors in redirects to its web page; the real status is in the page's address.
    let hidden = (300..400).contains(&status).then(|| hidden_status(reply)).flatten();
    let meant = hidden.unwrap_or(status);
    let (kind, why) = match (meant, direction) {
        (404 | 410, Direction::Download) => (
            ErrorKind::LinkGone,
            "the file is not there any more: expired, deleted, or a one-shot link that was already taken",
        ),
        (401 | 403, Direction::Download) => {
            (direction.rejected(), "the file server asks for other credentials; see basic_auth")
        }
        (401 | 403, Direction::Upload) => (
            direction.rejected(),
            "the file server does not allow it with these credentials; see token and basic_auth",
        ),
        (408 | 425 | 429 | 500..=599, _) => {
            (direction.unavailable(), "the file server cannot do it just now")
        }
        (300..=399, _) => {
            (direction.rejected(), "the answer is a redirect, and redirects are never followed")
        }
        (206, Direction::Download) => {
            (direction.rejected(), "the answer is a part of the file, which was not asked for")
        }
        (_, Direction::Download) => (direction.rejected(), "the answer is not the file"),
        (_, Direction::Upload) => (direction.rejected(), "the file server refused it"),
    };
    let hidden = hidden.map(|meant| format!(" meaning {meant}")).unwrap_or_default();
    let text = text.filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default();
    let error = Error::new(kind, format!("{origin} answered {status}{hidden}, {why}{text}"));
    match retry_after(reply) {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

/// The status in a redirect such as `/#/?err=MESSAGE&errcode=404&uri=…`.
fn hidden_status(reply: &Reply) -> Option<u16> {
    let location = reply.header_values("location").next()?;
    let (_, after) = location.split_once("errcode=")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|status| (400..600).contains(status))
}

/// `Retry-After` in seconds or as a date; a date that has passed is no wait.
fn retry_after(reply: &Reply) -> Option<Duration> {
    let value = reply.header("retry-after")?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds is a long time; whoever waits has an upper bound.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = http_date(value)?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}
