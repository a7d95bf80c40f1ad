//! NATS' object store, which is what one would use without links.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::object_store::{Config, ObjectStore};
use async_nats::jetstream::{self, Context};
use tokio::io::AsyncReadExt as _;

use super::now;
use crate::nats::BoxError;

pub(super) async fn put(nats: &str, file: &Path) -> Result<Duration, BoxError> {
    let (context, store) = open(nats).await?;
    let begun = now();
    let mut source = tokio::fs::File::open(file).await?;
    store.put("file.bin", &mut source).await?;
    let spent = begun.elapsed();
    let mut again = Vec::new();
    store.get("file.bin").await?.read_to_end(&mut again).await?;
    if again != tokio::fs::read(file).await? {
        return Err("another file came out than went in".into());
    }
    context.delete_object_store(BUCKET).await?;
    Ok(spent)
}

/// Fetches what was put there before; its reader checks the digest.
pub(super) async fn get(nats: &str, file: &Path, copy: &Path) -> Result<Duration, BoxError> {
    let (context, store) = open(nats).await?;
    store.put("file.bin", &mut tokio::fs::File::open(file).await?).await?;
    let begun = now();
    let mut object = store.get("file.bin").await?;
    let mut out = tokio::fs::File::create_new(copy).await?;
    tokio::io::copy(&mut object, &mut out).await?;
    out.sync_all().await?;
    let spent = begun.elapsed();
    context.delete_object_store(BUCKET).await?;
    Ok(spent)
}

const BUCKET: &str = "bench";

async fn open(nats: &str) -> Result<(Context, ObjectStore), BoxError> {
    let context = jetstream::new(async_nats::connect(nats).await?);
    let config = Config { bucket: BUCKET.into(), ..Config::default() };
    let store = context.create_object_store(config).await?;
    Ok((context, store))
}
