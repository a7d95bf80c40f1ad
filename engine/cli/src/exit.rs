//! How the program ends: failures, their one-line texts, and the exit code of each class of fault.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use natsbridge::ErrorKind;

use crate::output::visible;

/// The exit codes; `--help` documents them (see [`EXIT_CODES`]).
pub(crate) mod code {
    pub(crate) const OK: u8 = 0;
    /// `doctor` and `gc` only.
    pub(crate) const WARNING: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const BROKER: u8 = 3;
    pub(crate) const FILE_SERVER: u8 = 4;
    pub(crate) const INTEGRITY: u8 = 5;
    pub(crate) const POLICY: u8 = 6;
    pub(crate) const TIMEOUT: u8 = 7;
    pub(crate) const BAD_MESSAGE: u8 = 8;
    /// `EX_SOFTWARE` of sysexits.
    pub(crate) const BUG: u8 = 70;
    /// `EX_IOERR` of sysexits.
    pub(crate) const OUTPUT: u8 = 74;
}

/// Shown below every `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  doctor: works, with warnings; gc: uploads of another file server are left
    2  wrong arguments, or input that cannot be sent
    3  NATS server: unreachable, refuses, lost, or slower than its messages
    4  file server, or the network on the way to it
    5  integrity: wrong digest, cut short, or too long
    6  refused by policy: a link from a place that is not allowed
    7  a time limit passed
    8  bad message: not valid, or one of its payloads is not
   70  a bug in this program: please report it
   74  output cannot be written
  130  interrupted (Ctrl-C); 143 terminated
Where a message arrives and some of its payloads fail, the first failure decides.";

/// Why a command could not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine's own errors, with what they are about if that is not plain.
    Engine { about: Option<String>, error: natsbridge::Error },
    /// Arguments, or input, that cannot work.
    Usage(String),
    /// A file to read.
    Input { what: String, source: Box<dyn StdError + Send + Sync> },
    /// A file to write.
    Output { what: String, source: io::Error },
    /// The embedded file server.
    Server { what: String, source: io::Error },
    /// Waited long enough.
    TimedOut(String),
    /// Nobody reads standard output any more: no reason to complain.
    PipeClosed,
    /// A signal, by its number.
    Signal(u8),
}

impl Failure {
    /// The exit code of its class.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Engine { error, .. } => kind_code(error.kind()),
            Self::Usage(_) | Self::Input { .. } => code::USAGE,
            Self::Output { .. } => code::OUTPUT,
            Self::Server { .. } => code::FILE_SERVER,
            Self::TimedOut(_) => code::TIMEOUT,
            Self::PipeClosed => code::OK,
            Self::Signal(number) => 128 + number,
        }
    }

    /// One line with each cause once; `None` where there is nothing to complain about.
    pub(crate) fn report(&self) -> Option<String> {
        match self {
            Self::PipeClosed | Self::Signal(_) => None,
            _ => Some(chain(self)),
        }
    }

    pub(crate) fn input(what: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Input { what: what.into(), source: source.into() }
    }

    pub(crate) fn output(what: impl Into<String>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Output { what: what.into(), source },
        }
    }

    /// Says of an engine error about a file that could not be written that it is one.
    pub(crate) fn into_output(self) -> Self {
        let Self::Engine { error, .. } = &self else { return self };
        match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(source) if error.kind() == ErrorKind::SaveFailed => {
                let source = io::Error::new(source.kind(), source.to_string());
                Self::output(error.explanation().to_owned(), source)
            }
            _ => self,
        }
    }

    /// Whether a file could not be written because of its name or its length: the next one may well be.
    pub(crate) fn is_about_one_file(&self) -> bool {
        use io::ErrorKind as Kind;
        let Self::Output { source, .. } = self else { return false };
        matches!(
            source.kind(),
            Kind::InvalidFilename
                | Kind::InvalidInput
                | Kind::AlreadyExists
                | Kind::IsADirectory
                | Kind::StorageFull
                | Kind::FileTooLarge
                | Kind::QuotaExceeded
        )
    }

    /// Says which payload, file or option an engine error is about.
    pub(crate) fn about(about: impl Into<String>) -> impl FnOnce(natsbridge::Error) -> Self {
        let about = about.into();
        move |error| Self::Engine { about: Some(about), error }
    }
}

impl From<natsbridge::Error> for Failure {
    fn from(error: natsbridge::Error) -> Self {
        Self::Engine { about: None, error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine { about: Some(about), .. } => f.write_str(about),
            Self::Engine { about: None, error } => error.fmt(f),
            Self::Usage(what) | Self::TimedOut(what) => f.write_str(what),
            Self::Input { what, .. } | Self::Output { what, .. } | Self::Server { what, .. } => {
                f.write_str(what)
            }
            Self::PipeClosed => f.write_str("standard output was closed"),
            Self::Signal(number) => write!(f, "ended by signal {number}"),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Engine { about: Some(_), error } => Some(error),
            Self::Engine { about: None, error } => error.source(),
            Self::Input { source, .. } => Some(source.as_ref()),
            Self::Output { source, .. } | Self::Server { source, .. } => Some(source),
            Self::Usage(_) | Self::TimedOut(_) | Self::PipeClosed | Self::Signal(_) => None,
        }
    }
}

/// The exit code of an engine error.
pub(crate) fn kind_code(kind: ErrorKind) -> u8 {
    use natsbridge::Fault;
    match kind {
        ErrorKind::TimedOut | ErrorKind::NoReply => code::TIMEOUT,
        ErrorKind::DigestMismatch | ErrorKind::LinkTruncated | ErrorKind::LinkTooLong => code::INTEGRITY,
        ErrorKind::SaveFailed => code::OUTPUT,
        // The engine blames the calling program; here that is this program, and the user can but slow the flow down.
        ErrorKind::SlowConsumer => code::BROKER,
        _ => match kind.fault() {
            Fault::Caller => code::USAGE,
            Fault::Sender => code::BAD_MESSAGE,
            Fault::Policy => code::POLICY,
            Fault::FileServer | Fault::Network => code::FILE_SERVER,
            Fault::Broker => code::BROKER,
            _ => code::BUG,
        },
    }
}

/// An error and its causes in one line. A cause that its parent's text repeats is not printed again.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    visible(text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_fault_has_its_exit_code() {
        use ErrorKind as Kind;
        for (kind, expected) in [
            (Kind::Misuse, code::USAGE),
            (Kind::InvalidInput, code::USAGE),
            (Kind::InvalidSubject, code::USAGE),
            (Kind::InvalidHeader, code::USAGE),
            (Kind::MessageTooLarge, code::USAGE),
            (Kind::Malformed, code::BAD_MESSAGE),
            (Kind::InvalidPayload, code::BAD_MESSAGE),
            (Kind::InvalidBase64, code::BAD_MESSAGE),
            (Kind::InvalidTable, code::BAD_MESSAGE),
            (Kind::LimitExceeded, code::BAD_MESSAGE),
            (Kind::LinkRefused, code::POLICY),
            (Kind::LinkUnverified, code::POLICY),
            (Kind::LinkGone, code::FILE_SERVER),
            (Kind::UploadRejected, code::FILE_SERVER),
            (Kind::Network, code::FILE_SERVER),
            (Kind::LinkTruncated, code::INTEGRITY),
            (Kind::LinkTooLong, code::INTEGRITY),
            (Kind::DigestMismatch, code::INTEGRITY),
            (Kind::TimedOut, code::TIMEOUT),
            (Kind::NoReply, code::TIMEOUT),
            (Kind::ConnectFailed, code::BROKER),
            (Kind::PermissionDenied, code::BROKER),
            (Kind::Unconfirmed, code::BROKER),
            (Kind::SlowConsumer, code::BROKER),
            (Kind::Bug, code::BUG),
        ] {
            assert_eq!(kind_code(kind), expected, "{kind:?}");
        }
        assert_eq!(Failure::Signal(2).code(), 130);
        assert_eq!(Failure::Signal(15).code(), 143);
        assert_eq!(Failure::PipeClosed.code(), 0);
    }

    #[test]
    fn every_exit_code_is_documented() {
        for number in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "70", "74", "130"] {
            let line = |line: &&str| line.trim_start().starts_with(&format!("{number}  "));
            assert!(EXIT_CODES.lines().any(|text| line(&text)), "{number}");
        }
    }

    #[test]
    fn what_is_wrong_with_one_file_is_told_apart() {
        use io::ErrorKind as Kind;
        let failure = |kind: Kind| Failure::output("x", kind.into());
        for kind in [Kind::InvalidFilename, Kind::IsADirectory, Kind::StorageFull, Kind::QuotaExceeded] {
            assert!(failure(kind).is_about_one_file(), "{kind:?}");
        }
        for kind in [Kind::NotFound, Kind::PermissionDenied, Kind::ReadOnlyFilesystem] {
            assert!(!failure(kind).is_about_one_file(), "{kind:?}");
        }
    }

    #[test]
    fn each_cause_is_printed_once_and_on_one_line() {
        #[derive(Debug)]
        struct Repeats(io::Error);
        impl fmt::Display for Repeats {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "outer: {}", self.0)
            }
        }
        impl StdError for Repeats {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let error = natsbridge::Error::new(ErrorKind::Network, "no way")
            .with_source(Repeats(io::Error::other("line 1\nline 2")));
        assert_eq!(
            Failure::about("payload \"a\"")(error).report().unwrap(),
            "payload \"a\": network failure: no way: outer: line 1\\nline 2"
        );
    }
}
