//! What the faults are tried out on, in one place.

use std::path::Path;

use natsbridge::bridge::BridgeBuilder;
use natsbridge::link::{HttpStore, HttpTimeouts, PayloadReader, Retry};
use natsbridge::{Error, ErrorKind, ReceivedPayload, Result};

pub(crate) fn retry_uploads(builder: BridgeBuilder, retry: Retry) -> BridgeBuilder {
    builder.upload_retry(retry)
}

/// Uploads to a plain server.
pub(crate) fn http_uploads(
    builder: BridgeBuilder,
    template: &str,
    password: &str,
    timeouts: HttpTimeouts,
) -> BridgeBuilder {
    let store = HttpStore::new().timeouts(timeouts).upload_to(template).unwrap();
    builder.store(if password.is_empty() { store } else { store.basic_auth("user", password) })
}

pub(crate) async fn save(payload: &ReceivedPayload<'_>, path: &Path) -> Result<()> {
    payload.save(path).await.map(|_| ())
}

/// Reads a payload to its end and lets go of it as it comes; how many bytes there were.
pub(crate) async fn drain(payload: &ReceivedPayload<'_>) -> Result<u64> {
    let mut reader = payload.reader().await?;
    tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.map_err(|error| {
        let kind = PayloadReader::error_of(&error).map_or(ErrorKind::Bug, Error::kind);
        Error::new(kind, "reading failed").with_source(error)
    })
}
