//! Where the links of received messages are fetched from, and what all downloads of a bridge share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::receive::Saved;
use super::totals::{Totals, exceeded};
use crate::envelope::{Content, PayloadView, Sha256Entry, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::link::fetch::collect;
use crate::link::flight::{Cache, Flights};
use crate::link::room::Room;
use crate::link::save::{self, Target};
use crate::link::transfer::{Source, Transfer, check_limit};
use crate::link::{
    Expected, FetchOptions, Fetched, LinkStore, LinkUrl, PayloadReader, Policy, Progress, Verified,
};
use crate::payload::{PayloadData, Verification};

/// The receiving side of links: policy, sources, and what is shared between downloads.
pub(super) struct Downloads {
    policy: Policy,
    /// Whether the store is the caller's own function, which decides itself what it fetches.
    trust: bool,
    store: Option<Arc<dyn LinkStore>>,
    plain: Option<Plain>,
    options: FetchOptions,
    download_total: u64,
    save_len: u64,
    /// Memory, of all downloads together.
    room: Arc<Room>,
    flights: Flights,
    cache: Arc<Cache>,
    /// When the store last did not say which origins its server announces, and whether that may pass.
    silent_since: Mutex<Option<(Instant, bool)>>,
}

/// Plain HTTP, for links that are not the store's own.
pub(super) struct Plain {
    /// To origins that the receiver named.
    pub(super) named: Arc<dyn LinkStore>,
    /// To what is allowed beside them; it connects to addresses that were checked.
    pub(super) wide: Arc<dyn LinkStore>,
}

impl Downloads {
    /// With the limits' sizes, and the bytes that all downloads, and the cache, may hold.
    pub(super) fn new(policy: Policy, plain: Option<Plain>, options: FetchOptions, limits: &Limits) -> Self {
        Self {
            policy,
            trust: false,
            store: None,
            plain,
            options: options.max_len(limits.download_len),
            download_total: limits.download_total,
            save_len: limits.save_len,
            room: Arc::new(Room::new(DOWNLOAD_BYTES)),
            flights: Flights::default(),
            cache: Arc::new(Cache::new(0)),
            silent_since: Mutex::new(None),
        }
    }

    /// A store, which is trusted to decide itself what it fetches or not.
    pub(super) fn store(mut self, store: Option<Arc<dyn LinkStore>>, trust: bool) -> Self {
        (self.store, self.trust) = (store, trust);
        self
    }

    /// The bytes of memory that all downloads in progress may hold, and those that the cache may.
    pub(super) fn memory(mut self, downloads: u64, cache: u64) -> Self {
        (self.room, self.cache) = (Arc::new(Room::new(downloads)), Arc::new(Cache::new(cache)));
        self
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The payload of a link in memory, one of `count` in its message, shared with whoever else asks for it just now.
    pub(super) async fn fetch(
        &self,
        view: &PayloadView<'_>,
        totals: &Totals,
        count: usize,
    ) -> Result<PayloadData> {
        let claim = |len| totals.claim(view.index(), count, len, self.download_total);
        // What the message says is held against the limit before anything is fetched, and what came afterwards.
        let left = claim(view.size().unwrap_or(0))?;
        // Nor is more fetched than is left, whatever the message says or does not say.
        let max_len = self.options.max_len.min(left);
        let fetched = self.fetch_one(view, max_len).await;
        claim(fetched.as_ref().map_or(0, |data| data.bytes().len() as u64))?;
        fetched.map_err(|error| match error.needed() {
            Some(needed)
                if is_limit(&error) && error.limit() == Some(left) && left < self.options.max_len =>
            {
                let others = self.download_total - left;
                exceeded(others.saturating_add(needed), self.download_total).in_payload(view.index())
            }
            _ => error,
        })
    }

    async fn fetch_one(&self, view: &PayloadView<'_>, max_len: u64) -> Result<PayloadData> {
        let index = view.index();
        let fetched = async {
            let (url, source) = self.source(view).await?;
            let expected = expected(view);
            if let Some(fetched) = self.cached(&expected, max_len)? {
                return Ok(fetched);
            }
            let download = || {
                let options = self.options(max_len);
                let transfer =
                    Transfer::new(Source::Shared(Arc::clone(&source)), url.clone(), expected, options);
                let (room, cache, align) =
                    (Arc::clone(&self.room), Arc::clone(&self.cache), self.options.align);
                let download = async move {
                    let fetched = collect(transfer?, align, Some(&room)).await?;
                    cache.keep(&fetched);
                    Ok(fetched)
                };
                download.in_current_span()
            };
            loop {
                let mut own = false;
                let start = || {
                    own = true;
                    download()
                };
                match self.flights.join(&url, &expected, start).await {
                    // Whoever began it had less left of another message's total.
                    Err(error) if !own && is_limit(&error) && error.limit() < Some(max_len) => {}
                    fetched => return fetched,
                }
            }
        };
        let fetched = fetched.await.map_err(|error| error.in_payload(index))?;
        let verification = verification(view, fetched.verified);
        Ok(PayloadData::new(view.payload_type(), fetched.bytes, announced(view), index)
            .verified(verification))
    }

    /// The payload of a link, or of the message itself, in a file.
    pub(super) async fn save(
        &self,
        view: &PayloadView<'_>,
        target: &Target,
        watcher: Option<Progress>,
    ) -> Result<Saved> {
        let index = view.index();
        let saved = async {
            if view.transport() != Some(Transport::Link) {
                let data = view.decode()?;
                return save_bytes(data.bytes(), data.verification(), data.size_mismatch(), target).await;
            }
            let (url, source) = self.source(view).await?;
            let expected = expected(view);
            if let Some(Fetched { bytes, size_mismatch, .. }) = self.cached(&expected, self.save_len)? {
                let verification = verification(view, Verified::Digest);
                let announced = announced(view).filter(|_| size_mismatch);
                return save_bytes(&bytes, verification, announced, target).await;
            }
            let options = self.options(self.save_len).hash(true);
            let mut transfer =
                Transfer::new(Source::Shared(source), url, expected, options)?.watched(watcher);
            let _place = transfer.wait(self.room.enter(Some(save::MEMORY))).await?;
            let (proof, path) = save::save(transfer, target).await?;
            Ok(Saved {
                path,
                len: proof.len,
                // Asked for above; without it there would be nothing to show.
                sha256: proof
                    .sha256
                    .ok_or_else(|| Error::new(ErrorKind::Bug, "a digest was not computed"))?,
                verification: verification(view, proof.verified),
                size_mismatch: announced(view).filter(|_| proof.size_mismatch),
            })
        };
        saved.await.map_err(|error| error.in_payload(index))
    }

    /// The payload of a link as it comes.
    pub(super) async fn read(&self, view: &PayloadView<'_>) -> Result<PayloadReader> {
        let index = view.index();
        let (url, source) = self.source(view).await.map_err(|error| error.in_payload(index))?;
        let expected = expected(view);
        let cached = self.cached(&expected, self.save_len).map_err(|error| error.in_payload(index))?;
        if let Some(fetched) = cached {
            return Ok(PayloadReader::whole(fetched.bytes, verification(view, fetched.verified), index));
        }
        let transfer = Transfer::new(Source::Shared(source), url, expected, self.options(self.save_len));
        let transfer = transfer.map_err(|error| error.in_payload(index))?;
        PayloadReader::open(transfer, is_doubtful(view), index).await
    }

    /// What was downloaded before, if that is allowed to be so long.
    fn cached(&self, expected: &Expected, max_len: u64) -> Result<Option<Fetched>> {
        let fetched = self.cache.find(expected);
        check_limit(fetched.as_ref().map_or(0, |fetched| fetched.bytes.len() as u64), max_len)?;
        Ok(fetched)
    }

    fn options(&self, max_len: u64) -> FetchOptions {
        self.options.max_len(max_len).seed(uuid::Uuid::new_v4().as_u64_pair().0)
    }

    /// Policy first: what fetches a link, if it may be fetched.
    ///
    /// The store's own links go to the store, all others over plain HTTP. A store that names no origins cannot tell its
    /// own, and gets all that the receiver named.
    async fn source(&self, view: &PayloadView<'_>) -> Result<(LinkUrl, Arc<dyn LinkStore>)> {
        let Content::Link(text) = view.content()? else {
            return Err(Error::new(ErrorKind::Bug, "a link that is none"));
        };
        let url = LinkUrl::parse(&text)?;
        let store = self.store.as_ref().filter(|store| store.can_download());
        if self.trust
            && let Some(store) = &self.store
        {
            return Ok((url, Arc::clone(store)));
        }
        let mut unsure = None;
        let own = match &self.store {
            Some(store) => {
                let origins = store.origins();
                let named = origins.is_empty() && self.policy.allows(url.origin());
                named
                    || origins.contains(url.origin())
                    || self.announces(store, &url).await.unwrap_or_else(|silent| {
                        unsure = Some(silent);
                        false
                    })
            }
            None => false,
        };
        let plain = self.plain.as_ref();
        let source = match (own, store) {
            (true, Some(store)) => Some(store),
            (true, None) => plain.map(|plain| &plain.named),
            // What is not allowed here might be the server's own, if it could be asked.
            (false, _) => match self.policy.check(&url).map_err(|refused| unsure.unwrap_or(refused))? {
                reach if reach.is_everywhere() => plain.map(|plain| &plain.named),
                _ => plain.map(|plain| &plain.wide),
            },
        };
        match source {
            Some(source) => Ok((url, Arc::clone(source))),
            None => {
                let what = "this build cannot fetch such links: it lacks the feature `plik`";
                Err(Error::new(ErrorKind::Misuse, what))
            }
        }
    }

    /// Whether the store's server says that its files are found there: that is as good as its own address. An error if it
    /// says nothing just now.
    async fn announces(&self, store: &Arc<dyn LinkStore>, url: &LinkUrl) -> Result<bool> {
        let silence = || self.silent_since.lock().unwrap_or_else(PoisonError::into_inner);
        let known = silence().filter(|(since, _)| since.elapsed() < ASK_AGAIN);
        let passes = match known {
            Some((_, passes)) => passes,
            None => {
                let passes = match timeout(ASK_TIMEOUT, store.announced_origins()).await {
                    Ok(Ok(origins)) => return Ok(origins.contains(url.origin())),
                    Ok(Err(error)) => error.is_retryable(),
                    Err(_) => true,
                };
                *silence() = Some((Instant::now(), passes));
                passes
            }
        };
        if !passes {
            return Ok(false);
        }
        let wait = silence().map_or(ASK_AGAIN, |(since, _)| ASK_AGAIN.saturating_sub(since.elapsed()));
        let what =
            "the file server did not say whether this link is one of its own, and no other rule allows it";
        Err(Error::new(ErrorKind::LinkUnavailable, what).with_retry_after(wait))
    }
}

fn is_limit(error: &Error) -> bool {
    error.kind() == ErrorKind::LimitExceeded
}

/// How many bytes of memory the downloads in progress may hold together unless the caller says otherwise.
pub(super) const DOWNLOAD_BYTES: u64 = 64 * 1024 * 1024;

/// How long a file server may take to say what its download domain is.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server that did not say is left alone: links of elsewhere must not wait for it each time.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What was fetched before, in a file.
pub(super) async fn save_data(data: &PayloadData, index: usize, target: &Target) -> Result<Saved> {
    let saved = save_bytes(data.bytes(), data.verification(), data.size_mismatch(), target).await;
    saved.map_err(|error| error.in_payload(index))
}

async fn save_bytes(
    bytes: &Bytes,
    verification: Verification,
    size_mismatch: Option<u64>,
    target: &Target,
) -> Result<Saved> {
    let path = save::save_bytes(bytes, target).await?;
    let (bytes, len) = (bytes.clone(), bytes.len() as u64);
    let sha256 =
        tokio::task::spawn_blocking(move || Sha256::digest(&bytes).into()).await.map_err(|error| {
            Error::new(ErrorKind::Bug, "the digest of a payload could not be computed").with_source(error)
        })?;
    Ok(Saved { path, len, sha256, verification, size_mismatch })
}

fn verification(view: &PayloadView<'_>, verified: Verified) -> Verification {
    if is_doubtful(view) { Verification::Unverified } else { verified.into() }
}

/// What stands in a digest's place and is none makes the whole claim doubtful (SPEC `VER-5`).
fn is_doubtful(view: &PayloadView<'_>) -> bool {
    view.metadata().sha256() == Some(Sha256Entry::Unusable)
}

fn announced(view: &PayloadView<'_>) -> Option<u64> {
    view.size().filter(|&size| size != 0)
}

/// What the message says about the bytes behind a link.
fn expected(view: &PayloadView<'_>) -> Expected {
    let mut expected = Expected::nothing();
    if let Some(size) = view.size() {
        expected = expected.size(size);
    }
    match view.metadata().sha256() {
        Some(Sha256Entry::Digest(sha256)) => expected.sha256(sha256),
        Some(Sha256Entry::Unusable) | None => expected,
    }
}
