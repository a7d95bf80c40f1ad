//! The engine: it sends a message with the file as a payload, which it streams to the file server; and receives one.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use natsbridge::Bridge;
use natsbridge::link::Plik;

use super::{compare, now};
use crate::nats::BoxError;

pub(super) async fn upload(files: &str, nats: &str, file: &Path) -> Result<Duration, BoxError> {
    let (spent, url) = send(files, nats, file).await?;
    compare(&url, file).await?;
    Ok(spent)
}

/// The time, and where the file is.
pub(super) async fn send(files: &str, nats: &str, file: &Path) -> Result<(Duration, String), BoxError> {
    let bridge = Bridge::builder().store(Plik::new(files)?).connect(nats).await?;
    let begun = now();
    let receipt = bridge.send("bench.links").file("file.bin", file).await?;
    let spent = begun.elapsed();
    let url = receipt.payloads()[0].url.as_ref().ok_or("the file went inside the message")?;
    Ok((spent, url.as_str().to_owned()))
}

/// Sends the file, and saves what has come.
pub(super) async fn download(
    files: &str,
    nats: &str,
    file: &Path,
    copy: &Path,
) -> Result<Duration, BoxError> {
    let bridge = Bridge::builder().store(Plik::new(files)?).connect(nats).await?;
    let mut messages = bridge.subscribe("bench.links").await?;
    bridge.send("bench.links").file("file.bin", file).await?;
    let message = messages.next().await.ok_or("the subscription has ended")??;
    let payload = message.payload("file.bin")?;
    let begun = now();
    payload.save(copy).await?;
    Ok(begun.elapsed())
}
