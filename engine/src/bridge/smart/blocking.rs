//! The same two calls for programs without an async runtime.

use super::{ReceivedEnvelope, SmartData, SmartMessage, SmartReceive, SmartSend};
use crate::envelope::Envelope;
use crate::error::{Error, ErrorKind, Result};

/// [`smartsend`](super::smartsend), blocking the calling thread.
///
/// # Errors
/// As [`smartsend`](super::smartsend); [`Misuse`](ErrorKind::Misuse) inside an async runtime, where it would stop the
/// runtime's thread.
pub fn smartsend<N, T>(
    subject: &str,
    data: impl IntoIterator<Item = (N, SmartData, T)>,
    options: SmartSend,
) -> Result<Envelope>
where
    N: Into<String>,
    T: AsRef<str>,
{
    runtime()?.block_on(super::smartsend(subject, data, options))
}

/// [`smartreceive`](super::smartreceive), blocking the calling thread.
///
/// # Errors
/// As [`smartreceive`](super::smartreceive); [`Misuse`](ErrorKind::Misuse) inside an async runtime.
pub fn smartreceive(message: impl Into<SmartMessage>, options: SmartReceive) -> Result<ReceivedEnvelope> {
    runtime()?.block_on(super::smartreceive(message, options))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    if tokio::runtime::Handle::try_current().is_ok() {
        let what = "the blocking calls are for programs without an async runtime; await the others here";
        return Err(Error::new(ErrorKind::Misuse, what));
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Bug, "no runtime could be started").with_source(error))
}
