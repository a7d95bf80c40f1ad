//! The record in a NATS key-value bucket.
//!
//! Every sender has an id, and keys that begin with it: `ID.1`, `ID.2`, … hold a handle each, and `ID.alive` is written
//! again and again as long as it lives. A bucket is a stream, and what is done with it here is a handful of requests, so
//! they are made as such: the JetStream part of the client library would double its size.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_nats::{Client, RequestErrorKind};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Collected;
use crate::link::LinkStore;
use crate::{Error, ErrorKind, Result, timestamp};

/// How often a sender says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Who has not been heard of for less is not taken for dead, whatever the grace period: four heartbeats.
const LEAST_GRACE: Duration = Duration::from_secs(120);
/// The last part of the key that says that a sender lives.
const ALIVE: &str = "alive";
/// JetStream's error code for a stream that is not there.
const NO_STREAM: u64 = 10059;

pub(super) struct KvRecord {
    bucket: Bucket,
    /// This sender.
    owner: String,
    next: AtomicU64,
    /// The key of each handle that is not struck out.
    keys: Mutex<HashMap<String, String>>,
    heart: JoinHandle<()>,
}

impl KvRecord {
    pub(super) async fn open(client: Client, name: &str) -> Result<Self> {
        let bucket = Bucket::new(client, name)?;
        bucket.create().await?;
        let owner = uuid::Uuid::new_v4().simple().to_string();
        let alive = format!("{owner}.{ALIVE}");
        // Before anything is announced: without it this sender would count as dead.
        bucket.put(&alive, &json!({})).await?;
        let heart = tokio::spawn({
            let bucket = bucket.clone();
            async move {
                loop {
                    tokio::time::sleep(HEARTBEAT).await;
                    if let Err(error) = bucket.put(&alive, &json!({})).await {
                        tracing::warn!(%error, "cannot tell the record of uploads that this sender lives");
                    }
                }
            }
        });
        Ok(Self { bucket, owner, next: AtomicU64::new(1), keys: Mutex::default(), heart })
    }

    pub(super) async fn announced(&self, handle: &str) -> Result<()> {
        let key = format!("{}.{}", self.owner, self.next.fetch_add(1, Ordering::Relaxed));
        // First here: a put whose answer is lost may have happened.
        self.keys().insert(handle.to_owned(), key.clone());
        self.bucket.put(&key, &json!({ "handle": handle })).await
    }

    pub(super) async fn settled(&self, handle: &str) -> Result<()> {
        let key = self.keys().get(handle).cloned();
        if let Some(key) = key {
            self.bucket.purge(&key).await?;
            self.keys().remove(handle);
        }
        Ok(())
    }
}

impl KvRecord {
    fn keys(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KvRecord {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

impl fmt::Debug for KvRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanupRecord").field("bucket", &self.bucket.name).finish_non_exhaustive()
    }
}

/// Deletes what senders have left that have not been heard of for `grace`.
pub(super) async fn collect(
    client: &Client,
    name: &str,
    store: &dyn LinkStore,
    grace: Duration,
) -> Result<Collected> {
    let bucket = Bucket::new(client.clone(), name)?;
    let (keys, now) = bucket.keys().await?;
    let mut senders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for key in &keys {
        let Some((sender, _)) = key.split_once('.') else { continue };
        senders.entry(sender).or_default().push(key);
    }
    let grace = grace.max(LEAST_GRACE);
    let mut collected = Collected::default();
    for (sender, keys) in senders {
        let alive = format!("{sender}.{ALIVE}");
        let entries: Vec<&str> = keys.into_iter().filter(|key| *key != alive).collect();
        // Times are the server's: clocks of senders and of this machine may differ.
        let heard = bucket.get(&alive).await?.map(|(_, time)| time);
        let silent = heard.is_none_or(|time| now.duration_since(time).is_ok_and(|silence| silence > grace));
        if !silent {
            collected.alive += entries.len();
            continue;
        }
        let mut left = false;
        for key in entries {
            if collected.is_unreachable() {
                let kind = collected.failed.last().map_or(ErrorKind::Network, Error::kind);
                collected.failed.push(Error::new(kind, "not tried, because the file server does not answer"));
                left = true;
                continue;
            }
            let Some((value, _)) = bucket.get(key).await? else { continue };
            let Some(handle) = value["handle"].as_str() else {
                collected.foreign += 1;
                left = true;
                continue;
            };
            match collected.delete(store, handle).await {
                true => bucket.purge(key).await?,
                false => left = true,
            }
        }
        if !left {
            bucket.purge(&alive).await?;
        }
    }
    Ok(collected)
}

/// A bucket, by the requests that make one.
#[derive(Clone)]
struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    fn new(client: Client, name: &str) -> Result<Self> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 200 || !name.bytes().all(valid) {
            return Err(Error::new(
                ErrorKind::Misuse,
                "not a name of a bucket: letters, digits, - and _ only",
            ));
        }
        Ok(Self { client, name: name.to_owned() })
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    /// Makes the bucket unless it is there, whatever its options are.
    async fn create(&self) -> Result<()> {
        match self.api("STREAM.INFO", &json!({})).await {
            Err(error) if error.kind() == ErrorKind::Misuse => {}
            other => return other.map(drop),
        }
        // As the `nats` tool makes a bucket.
        let stream = format!("KV_{}", self.name);
        let options = json!({
            "name": stream,
            "subjects": [self.subject(">")],
            "retention": "limits",
            "discard": "new",
            "storage": "file",
            "num_replicas": 1,
            "max_msgs_per_subject": 1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "duplicate_window": 120_000_000_000_u64,
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
        });
        self.api("STREAM.CREATE", &options).await.map(drop)
    }

    /// The value is stored when this returns.
    async fn put(&self, key: &str, value: &Value) -> Result<()> {
        self.request(self.subject(key), value.to_string()).await.map(drop)
    }

    /// Removes a key and leaves no trace of it.
    async fn purge(&self, key: &str) -> Result<()> {
        self.api("STREAM.PURGE", &json!({ "filter": self.subject(key) })).await.map(drop)
    }

    /// A key's value, and when it was written, by the server's clock.
    async fn get(&self, key: &str) -> Result<Option<(Value, SystemTime)>> {
        let answer = match self.api("STREAM.MSG.GET", &json!({ "last_by_subj": self.subject(key) })).await {
            Err(error) if error.kind() == ErrorKind::Misuse => return Ok(None),
            answer => answer?,
        };
        let message = &answer["message"];
        let data = message["data"].as_str().unwrap_or_default();
        let data = base64_simd::STANDARD.decode_to_vec(data).unwrap_or_default();
        let time = message["time"].as_str().and_then(timestamp::parse);
        let time = time.ok_or_else(|| nonsense("a message without a time"))?;
        Ok(Some((serde_json::from_slice(&data).unwrap_or_default(), time)))
    }

    /// All keys, and the server's time.
    async fn keys(&self) -> Result<(Vec<String>, SystemTime)> {
        let prefix = self.subject("");
        let mut keys = Vec::new();
        loop {
            let filter = json!({ "subjects_filter": self.subject(">"), "offset": keys.len() });
            let answer = self.api("STREAM.INFO", &filter).await?;
            let now = answer["ts"].as_str().and_then(timestamp::parse);
            let page = answer["state"]["subjects"].as_object();
            let page = page.into_iter().flat_map(|subjects| subjects.keys());
            let before = keys.len();
            keys.extend(page.filter_map(|subject| subject.strip_prefix(&prefix)).map(str::to_owned));
            let total = answer["total"].as_u64().unwrap_or_default();
            if keys.len() == before || keys.len() as u64 >= total {
                return Ok((keys, now.unwrap_or_else(SystemTime::now)));
            }
        }
    }

    async fn api(&self, call: &str, body: &Value) -> Result<Value> {
        self.request(format!("$JS.API.{call}.KV_{}", self.name), body.to_string()).await
    }

    /// A request to JetStream; [`ErrorKind::Misuse`] for a stream or message that is not there.
    async fn request(&self, subject: String, body: String) -> Result<Value> {
        let answer = self.client.request(subject, body.into()).await.map_err(|error| {
            let (kind, what) = match error.kind() {
                RequestErrorKind::NoResponders => {
                    (ErrorKind::PermissionDenied, "has no JetStream for this user")
                }
                RequestErrorKind::TimedOut => (ErrorKind::TimedOut, "does not answer"),
                _ => (ErrorKind::Disconnected, "cannot be asked"),
            };
            Error::new(kind, format!("the NATS server {what}, which the record of uploads needs"))
                .with_source(error)
        })?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(|_| nonsense("no JSON"))?;
        let error = &answer["error"];
        if error.is_null() {
            return Ok(answer);
        }
        let words = error["description"].as_str().unwrap_or("an error");
        let missing = error["err_code"] == NO_STREAM || error["code"] == 404;
        let kind = if missing { ErrorKind::Misuse } else { ErrorKind::PermissionDenied };
        Err(Error::new(kind, format!("the NATS server says of the bucket {}: {words}", self.name)))
    }
}

fn nonsense(what: &str) -> Error {
    Error::new(ErrorKind::Disconnected, format!("the NATS server answers with {what}"))
}
