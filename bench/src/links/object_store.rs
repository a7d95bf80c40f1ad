//! NATS' object store, which is what one would use without links.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::{self, object_store::Config};
use tokio::io::AsyncReadExt as _;

use super::now;
use crate::nats::BoxError;

pub(super) async fn put(nats: &str, file: &Path) -> Result<Duration, BoxError> {
    let context = jetstream::new(async_nats::connect(nats).await?);
    let store = context.create_object_store(Config { bucket: "bench".into(), ..Config::default() }).await?;
    let begun = now();
    let mut source = tokio::fs::File::open(file).await?;
    store.put("file.bin", &mut source).await?;
    let spent = begun.elapsed();
    let mut again = Vec::new();
    store.get("file.bin").await?.read_to_end(&mut again).await?;
    if again != tokio::fs::read(file).await? {
        return Err("another file came out than went in".into());
    }
    context.delete_object_store("bench").await?;
    Ok(spent)
}
