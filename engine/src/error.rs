//! What can go wrong, whose fault it is, and whether trying again can help.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of this crate: one pointer wide, with a [`kind`](Error::kind) to act on.
///
/// `Display` describes this layer only; the cause is in [`source`](StdError::source), so a chain printer
/// shows every cause once. No error holds payload bytes, credentials or the full URL of a link.
///
/// # Examples
/// ```
/// use natsbridge::{Envelope, ErrorKind, Fault};
///
/// let err = Envelope::decode(br#"{"msgId":1}"#.as_slice()).unwrap_err();
/// assert_eq!(err.kind(), ErrorKind::Malformed);
/// assert_eq!(err.offset(), Some(9));
/// assert_eq!(err.fault(), Fault::Sender);
/// assert!(!err.is_retryable());
/// ```
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    what: Cow<'static, str>,
    /// Byte position in the message or in the payload's bytes, 0-based.
    offset: Option<u64>,
    /// Position of the payload in its message, 0-based.
    payload: Option<usize>,
    /// The NATS subject that the message came on.
    subject: Option<Box<str>>,
    /// (needed, limit) in the unit that `what` names, bytes as a rule.
    size: Option<(u64, u64)>,
    /// How often it was tried.
    attempts: Option<u32>,
    /// How long the server asked to wait before the next try.
    retry_after: Option<Duration>,
    /// What went wrong while cleaning up after this error.
    cleanup: Option<Error>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What happened, as far as a caller can act on it.
///
/// Grouped by [`Fault`]; new kinds may come, so a `match` needs a wildcard arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    // -- the calling program --
    /// Arguments or calls that can never work, whatever the data: fix the calling code.
    Misuse,
    /// A value to send cannot be written: not serialisable, not valid JSON, an empty type, a table that Arrow refuses.
    InvalidInput,
    /// The bytes of a payload could not be read where they are: a file that is not there or changed its length, a reader
    /// that failed or ended early.
    SourceFailed,
    /// A payload could not be written where it was to be saved: no such folder, no space, no permission, a name that is
    /// taken. The cause is in the source.
    SaveFailed,
    /// A NATS subject that is empty, has white space, control characters, empty tokens or (publishing) wildcards; or that has
    /// more than 3,900 bytes, or 4,000 together with its reply subject or queue group: a NATS server closes the connection on
    /// what it cannot take in one line of 4,096.
    InvalidSubject,
    /// A header name or value that NATS cannot carry.
    InvalidHeader,
    /// The message cannot be made to fit the server's limit; [`Error::needed`] and [`Error::limit`] say by how much.
    MessageTooLarge,
    /// A payload was asked for as something that its type is not, such as the text of an image.
    WrongType,

    // -- whoever wrote the message --
    /// The message is not a valid envelope: broken JSON, a repeated key, a known key of the wrong JSON type.
    Malformed,
    /// One payload's entry is unusable (no type, unknown transport, wrong kind of data); the others are readable.
    InvalidPayload,
    /// Base64 text that breaks the rules; [`Error::offset`] is the position in the message.
    InvalidBase64,
    /// A text payload that is not UTF-8.
    InvalidText,
    /// A dictionary (or JSON table) that is not valid JSON within the bridge's rules.
    InvalidJson,
    /// A table that is not valid, little-endian Arrow IPC.
    InvalidTable,
    /// Something arrived that is larger, deeper or more numerous than [`Limits`](crate::Limits) allow.
    LimitExceeded,

    // -- what the receiver allowed --
    /// The link points to a place that the receiver's policy does not allow; nothing was fetched.
    LinkRefused,
    /// The link carries neither a size nor a digest, and unverified links are switched off.
    LinkUnverified,

    // -- the file server, or what stands in its place --
    /// The file is not there any more: expired, deleted, or a one-shot link that was already taken.
    LinkGone,
    /// The file server answers with something that is no file: a redirect, an error status, an encoding nobody asked for.
    LinkRejected,
    /// The file server is not able to answer just now (5xx, 408, 425, 429).
    LinkUnavailable,
    /// The body ended before its announced length.
    LinkTruncated,
    /// The body is longer than the message says.
    LinkTooLong,
    /// The bytes are complete, but not those whose digest the message gives: changed on the file server or on the way,
    /// or, for data inside the message, by whoever passed it on.
    DigestMismatch,
    /// The file server refused an upload.
    UploadRejected,
    /// The file server could not take an upload just now.
    UploadUnavailable,

    // -- the way there --
    /// A connection to a file server could not be made, or broke.
    Network,
    /// A file server and this client do not accept each other: a certificate that is not trusted, has expired or is for
    /// another host, a client certificate that is missing or refused. Trying again does not help.
    TlsFailed,
    /// A deadline passed; the text says which one.
    TimedOut,

    // -- the NATS server --
    /// No connection to the NATS server could be made.
    ConnectFailed,
    /// The connection to the NATS server is gone, and the client has given up on it.
    Disconnected,
    /// The NATS server does not permit this user to publish or subscribe there.
    PermissionDenied,
    /// The message was handed to the NATS client, but what became of it is unknown.
    Unconfirmed,
    /// Nobody listens on the request's subject.
    NoResponders,
    /// No reply came in time; the request may have been carried out all the same.
    NoReply,
    /// This subscriber was too slow, and messages were dropped.
    SlowConsumer,

    // -- us --
    /// A state that should be impossible: please report it.
    Bug,
}

/// Whose mistake an error is, so that the right person is woken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The program that calls this crate.
    Caller,
    /// Whoever wrote the message that was received.
    Sender,
    /// Nobody: the receiver's own policy said no.
    Policy,
    /// The file server behind a link.
    FileServer,
    /// The network between here and a file server.
    Network,
    /// The NATS server, or its configuration.
    Broker,
    /// This crate.
    Engine,
}

impl ErrorKind {
    /// Whose mistake it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::Misuse
            | Self::InvalidInput
            | Self::SourceFailed
            | Self::SaveFailed
            | Self::InvalidSubject
            | Self::InvalidHeader
            | Self::MessageTooLarge
            | Self::SlowConsumer
            | Self::WrongType => Fault::Caller,
            Self::Malformed
            | Self::InvalidPayload
            | Self::InvalidBase64
            | Self::InvalidText
            | Self::InvalidJson
            | Self::InvalidTable
            | Self::LimitExceeded => Fault::Sender,
            Self::LinkRefused | Self::LinkUnverified => Fault::Policy,
            Self::LinkGone
            | Self::LinkRejected
            | Self::LinkUnavailable
            | Self::LinkTruncated
            | Self::LinkTooLong
            | Self::DigestMismatch
            | Self::UploadRejected
            | Self::UploadUnavailable
            | Self::TlsFailed => Fault::FileServer,
            Self::Network | Self::TimedOut => Fault::Network,
            Self::ConnectFailed
            | Self::Disconnected
            | Self::PermissionDenied
            | Self::Unconfirmed
            | Self::NoResponders
            | Self::NoReply => Fault::Broker,
            Self::Bug => Fault::Engine,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    ///
    /// [`Unconfirmed`](Self::Unconfirmed) and [`NoReply`](Self::NoReply) are not: the message may have arrived, and
    /// sending it again may deliver it twice.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::LinkUnavailable
                | Self::LinkTruncated
                | Self::UploadUnavailable
                | Self::Network
                | Self::TimedOut
                | Self::ConnectFailed
                | Self::Disconnected
                | Self::NoResponders
        )
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Misuse => "misuse",
            Self::InvalidInput => "invalid input",
            Self::SourceFailed => "cannot read what is to be sent",
            Self::SaveFailed => "cannot save the payload",
            Self::InvalidSubject => "invalid subject",
            Self::InvalidHeader => "invalid header",
            Self::MessageTooLarge => "message too large",
            Self::WrongType => "wrong payload type",
            Self::Malformed => "malformed message",
            Self::InvalidPayload => "invalid payload",
            Self::InvalidBase64 => "invalid base64",
            Self::InvalidText => "invalid text",
            Self::InvalidJson => "invalid JSON",
            Self::InvalidTable => "invalid table",
            Self::LimitExceeded => "limit exceeded",
            Self::LinkRefused => "link refused",
            Self::LinkUnverified => "unverified link refused",
            Self::LinkGone => "link gone",
            Self::LinkRejected => "link rejected",
            Self::LinkUnavailable => "link unavailable",
            Self::LinkTruncated => "link cut short",
            Self::LinkTooLong => "link body too long",
            Self::DigestMismatch => "digest mismatch",
            Self::UploadRejected => "upload rejected",
            Self::UploadUnavailable => "upload unavailable",
            Self::Network => "network failure",
            Self::TlsFailed => "TLS failed",
            Self::TimedOut => "timed out",
            Self::ConnectFailed => "cannot connect to NATS",
            Self::Disconnected => "disconnected from NATS",
            Self::PermissionDenied => "not permitted by the NATS server",
            Self::Unconfirmed => "unconfirmed",
            Self::NoResponders => "no responders",
            Self::NoReply => "no reply",
            Self::SlowConsumer => "slow consumer",
            Self::Bug => "bug in natsbridge, please report it",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

impl Error {
    /// A new error with its explanation; for [`LinkStore`](crate::link::LinkStore) implementations and handlers.
    ///
    /// `what` must not hold credentials, payload bytes or a full link URL: it goes to logs.
    pub fn new(kind: ErrorKind, what: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Repr {
            kind,
            what: what.into(),
            offset: None,
            payload: None,
            subject: None,
            size: None,
            attempts: None,
            retry_after: None,
            cleanup: None,
            source: None,
        }))
    }

    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whose mistake it is.
    pub fn fault(&self) -> Fault {
        self.0.kind.fault()
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }

    /// The explanation alone, without the kind's name and the numbers.
    pub fn explanation(&self) -> &str {
        &self.0.what
    }

    /// Where, as a 0-based byte position: in the message, or in the payload's own bytes for
    /// [`InvalidText`](ErrorKind::InvalidText), [`InvalidJson`](ErrorKind::InvalidJson) and [`InvalidTable`](ErrorKind::InvalidTable).
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// Which payload of the message, counted from 0.
    pub fn payload(&self) -> Option<usize> {
        self.0.payload
    }

    /// The NATS subject that a broken message came on, which may be the only clue to its sender.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// How much was needed, in bytes unless the explanation says otherwise.
    pub fn needed(&self) -> Option<u64> {
        self.0.size.map(|(needed, _)| needed)
    }

    /// How much was allowed, in the same unit as [`needed`](Self::needed).
    pub fn limit(&self) -> Option<u64> {
        self.0.size.map(|(_, limit)| limit)
    }

    /// How often it was tried before giving up.
    pub fn attempts(&self) -> Option<u32> {
        self.0.attempts
    }

    /// How long the server asked to wait before the next try (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What went wrong while cleaning up after this error, such as an upload that could not be deleted.
    pub fn cleanup(&self) -> Option<&Self> {
        self.0.cleanup.as_ref()
    }

    /// Adds the byte position.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Adds the payload's position in its message.
    #[must_use]
    pub fn in_payload(mut self, index: usize) -> Self {
        self.0.payload = Some(index);
        self
    }

    /// Adds the NATS subject that the message came on.
    #[must_use]
    pub fn on_subject(mut self, subject: impl Into<Box<str>>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// Adds what was needed and what was allowed.
    #[must_use]
    pub fn with_size(mut self, needed: u64, limit: u64) -> Self {
        self.0.size = Some((needed, limit));
        self
    }

    /// Adds how often it was tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// Adds how long the server asked to wait before the next try.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds the cause. Its text must not hold credentials or a full link URL.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error once more, for one more of those who waited for the same thing.
    #[cfg(feature = "nats")]
    pub(crate) fn again(self: &std::sync::Arc<Self>) -> Self {
        let repr = &*self.0;
        let source = repr.source.is_some().then(|| SharedSource(std::sync::Arc::clone(self)));
        Self(Box::new(Repr {
            kind: repr.kind,
            what: repr.what.clone(),
            offset: repr.offset,
            payload: repr.payload,
            subject: repr.subject.clone(),
            size: repr.size,
            attempts: repr.attempts,
            retry_after: repr.retry_after,
            cleanup: None,
            source: source.map(|source| Box::new(source) as _),
        }))
    }

    /// Adds a failure of the clean-up; the first one is kept.
    #[must_use]
    pub fn with_cleanup(mut self, cleanup: Self) -> Self {
        self.0.cleanup.get_or_insert(cleanup);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = &*self.0;
        write!(f, "{}: {}", repr.kind, repr.what)?;
        let mut separator = " (";
        let mut detail = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            write!(f, "{separator}{text}")?;
            separator = ", ";
            Ok::<_, fmt::Error>(())
        };
        if let Some(index) = repr.payload {
            detail(f, format_args!("payload {index}"))?;
        }
        if let Some(offset) = repr.offset {
            detail(f, format_args!("at byte {offset}"))?;
        }
        if let Some(subject) = &repr.subject {
            detail(f, format_args!("on subject {subject:?}"))?;
        }
        if let Some((needed, limit)) = repr.size {
            detail(f, format_args!("needed {needed}, limit {limit}"))?;
        }
        if let Some(attempts) = repr.attempts {
            detail(f, format_args!("after {attempts} attempt{}", if attempts == 1 { "" } else { "s" }))?;
        }
        if let Some(cleanup) = &repr.cleanup {
            detail(f, format_args!("and cleaning up failed: {cleanup}"))?;
        }
        if separator == ", " { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = &*self.0;
        let mut out = f.debug_struct("Error");
        out.field("kind", &repr.kind).field("what", &repr.what);
        for (name, value) in [
            ("offset", repr.offset),
            ("payload", repr.payload.map(|index| index as u64)),
            ("needed", self.needed()),
            ("limit", self.limit()),
            ("attempts", repr.attempts.map(u64::from)),
        ] {
            if let Some(value) = value {
                out.field(name, &value);
            }
        }
        if let Some(subject) = &repr.subject {
            out.field("subject", subject);
        }
        if let Some(cleanup) = &repr.cleanup {
            out.field("cleanup", cleanup);
        }
        if let Some(source) = &repr.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// The source of an error that several have.
#[cfg(feature = "nats")]
#[derive(Debug)]
struct SharedSource(std::sync::Arc<Error>);

#[cfg(feature = "nats")]
impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| fmt::Display::fmt(source, f))
    }
}

#[cfg(feature = "nats")]
impl StdError for SharedSource {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()?.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "nats")]
    #[test]
    fn an_error_that_several_have_reads_the_same_for_each() {
        let io = std::io::Error::other("the wire broke");
        let first = std::sync::Arc::new(Error::new(ErrorKind::Network, "cannot connect").with_source(io));
        let again = first.again();
        assert_eq!(again.to_string(), first.to_string());
        assert_eq!(again.source().map(ToString::to_string).as_deref(), Some("the wire broke"));
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn a_chain_prints_each_cause_once() {
        let io = std::io::Error::other("the wire broke");
        let err =
            Error::new(ErrorKind::Network, "cannot reach the file server").with_attempts(2).with_source(io);
        let own = err.to_string();
        assert_eq!(own, "network failure: cannot reach the file server (after 2 attempts)");
        assert!(!own.contains("wire broke"));
        assert_eq!(err.source().map(ToString::to_string).as_deref(), Some("the wire broke"));
    }

    #[test]
    fn numbers_are_listed_in_one_pair_of_brackets() {
        let err = Error::new(ErrorKind::MessageTooLarge, "no link store is configured")
            .in_payload(3)
            .with_size(1_400_000, 1_048_576);
        assert_eq!(
            err.to_string(),
            "message too large: no link store is configured (payload 3, needed 1400000, limit 1048576)"
        );
    }

    #[test]
    fn a_failed_clean_up_never_replaces_the_first_error() {
        let first = Error::new(ErrorKind::Disconnected, "publish failed");
        let err = first.with_cleanup(Error::new(ErrorKind::Network, "cannot delete the upload"));
        assert_eq!(err.kind(), ErrorKind::Disconnected);
        assert_eq!(err.cleanup().map(Error::kind), Some(ErrorKind::Network));
    }
}
