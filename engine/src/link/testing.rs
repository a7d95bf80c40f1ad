//! What every [`LinkStore`] must do, as a test: for the stores of this crate, and for yours.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use sha2::{Digest, Sha256};

use super::budget::Budget;
use super::ledger::Ledger;
use super::source::Source;
use super::store::{LinkStore, Upload, Uploaded};
use super::tap::{Summary, Tap};
use super::upload::delete_unwanted;
use crate::{Error, ErrorKind, Result};

/// How long something may take that the server does in its own time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Names that have broken file servers.
const NAMES: [&str; 20] = [
    "report.pdf",
    "my report (final).pdf",
    "",
    " ",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\Users\\ada\\notes.txt",
    "a/b/c",
    "日本 é.txt",
    "e\u{301}\u{202e}gpj.exe",
    "a\"b'c;d.txt",
    "a\r\nX-Injected: 1\r\n\r\n.txt",
    "nul\0byte",
    "50%20off.txt",
    "q?x=1&y=2#f",
    "{id}-{name}",
    "-rf",
    "CON",
];

/// The behaviour that a bridge relies on, checked against one store with a server behind it that nobody else uses.
///
/// | checked | |
/// |---|---|
/// | bytes | what is uploaded is what is downloaded, from 0 bytes to 5 MiB, of known length and of unknown, under odd names |
/// | links | no longer than [`max_url_len`](LinkStore::max_url_len) says, from an origin of the store's if it names any, never twice the same |
/// | deletion | by the returned handle and by announced ones, twice, and what is gone is [`LinkGone`](ErrorKind::LinkGone) |
/// | failures | of a source that fails, has another length than it said or never ends, nothing is left when what was announced is deleted |
/// | several | at once, and in a batch, in order |
/// | secrets | in no `Debug` output and no error |
///
/// # Examples
/// ```
/// use std::path::Path;
/// use natsbridge::link::{FolderStore, testing::StoreTest};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), natsbridge::Error> {
/// let folder = std::env::temp_dir().join(format!("natsbridge-test-{}", std::process::id()));
/// let store = FolderStore::open(&folder)?;
/// let files = { let folder = folder.clone(); move || std::fs::read_dir(&folder).unwrap().count() - 1 }; // one is the id's
/// StoreTest::new(store, files).run().await;
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok(()) }
/// ```
pub struct StoreTest {
    store: Arc<dyn LinkStore>,
    /// How many files the server has.
    count: Box<dyn Fn() -> usize + Send + Sync>,
    secrets: Vec<String>,
}

impl StoreTest {
    /// A test of this store, with a function that says how many files are on its server, parts of files included.
    pub fn new(store: impl LinkStore, count: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        Self { store: Arc::new(store), count: Box::new(count), secrets: Vec::new() }
    }

    /// Adds a text that the store must never show: a password, a token.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Runs all checks, one after the other. The server must be empty, and is so afterwards.
    ///
    /// # Panics
    /// At the first thing that is not as it must be, with words that say what.
    pub async fn run(&self) {
        self.empty("before the test").await;
        self.hides_secrets(&format!("{:?}", self.store));
        self.sizes().await;
        self.names().await;
        self.several().await;
        self.deletion().await;
        self.failures().await;
        self.dropped().await;
    }

    async fn sizes(&self) {
        for len in [0, 1, 255 << 10, (256 << 10) + 1, 5 << 20] {
            let bytes = pattern(len);
            let half = bytes.len() / 2;
            let pieces = vec![bytes.slice(..half), Bytes::new(), bytes.slice(half..)];
            let known = Source::chunks(pieces.clone());
            let unknown = Source::stream(stream::iter(pieces.into_iter().map(Ok::<_, Error>)), None);
            for (source, what) in [(known, "of known length"), (unknown, "of unknown length")] {
                let what = format!("{len} bytes {what}");
                let transfer = Transfer::new("data.bin", source);
                let uploaded =
                    transfer.run(&*self.store).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                let summary = transfer.tap.summary().await;
                let expected = (len as u64, Sha256::digest(&bytes).into());
                assert_eq!(
                    summary,
                    Summary::Whole(expected.0, expected.1),
                    "{what}: the store has not read the upload to its end"
                );
                self.check(&uploaded, "data.bin", &bytes, &what).await;
                self.delete(uploaded.handle(), &what).await;
                self.empty(&what).await;
            }
        }
    }

    async fn names(&self) {
        let long = "é".repeat(600);
        let mut handles = HashSet::new();
        for (number, name) in NAMES.into_iter().chain([long.as_str()]).enumerate() {
            let bytes = Bytes::from(format!("the file number {number}"));
            let transfer = Transfer::new(name, Source::bytes(bytes.clone()));
            let what = format!("the name {name:?}");
            let uploaded =
                transfer.run(&*self.store).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            self.check(&uploaded, name, &bytes, &what).await;
            assert!(handles.insert(uploaded.handle().to_owned()), "{what}: a handle for the second time");
        }
        for handle in handles {
            self.delete(&handle, "odd names").await;
        }
        self.empty("odd names").await;
    }

    async fn several(&self) {
        let bytes = |number: usize| pattern(300_000 + number);
        let one = |number| async move {
            Transfer::new("same.bin", Source::bytes(bytes(number)))
                .run(&*self.store)
                .await
                .expect("an upload")
        };
        let (first, second) = tokio::join!(one(1), one(2));
        let uploads = (3..6).map(|number| Upload::new("same.bin", bytes(number))).collect();
        let batch = self.store.upload_batch(uploads).await;
        assert_eq!(batch.len(), 3, "a batch has a result for each upload");
        let batch = batch.into_iter().map(|uploaded| uploaded.expect("an upload of a batch"));
        let all: Vec<_> = [first, second].into_iter().chain(batch).collect();
        let urls: HashSet<_> = all.iter().map(|uploaded| uploaded.url().as_str()).collect();
        assert_eq!(urls.len(), all.len(), "two uploads have the same link");
        for (index, uploaded) in all.iter().enumerate() {
            let what = format!("upload {index} of several");
            self.check(uploaded, "same.bin", &bytes(index + 1), &what).await;
        }
        for uploaded in &all {
            self.delete(uploaded.handle(), "several at once").await;
        }
        self.empty("several at once").await;
    }

    async fn deletion(&self) {
        let kept = Transfer::new("kept", Source::bytes("kept")).run(&*self.store).await.expect("an upload");
        let transfer = Transfer::new("gone", Source::bytes("gone"));
        let gone = transfer.run(&*self.store).await.expect("an upload");
        for round in ["once", "twice"] {
            self.delete(gone.handle(), round).await;
        }
        let Err(error) = self.store.download(gone.url()).await else {
            panic!("what was deleted can be downloaded")
        };
        assert_eq!(error.kind(), ErrorKind::LinkGone, "downloading what was deleted: {error:?}");
        self.harmless(&error, Some(&gone));
        self.check(&kept, "kept", b"kept", "what was not deleted").await;
        self.delete(kept.handle(), "deletion").await;
        // What was announced is gone as well, and may be deleted all the same.
        transfer.take_back(&*self.store).await;
        self.empty("deletion").await;
    }

    /// Sources that fail: the error comes through, and what was announced is enough to clean up.
    async fn failures(&self) {
        let head = || vec![Ok(pattern(700_000)), Ok(pattern(300_000))];
        let broken = || head().into_iter().chain([Err("the source is broken")]);
        for (source, what) in [
            (Source::stream(stream::iter(broken()), None), "a source that fails"),
            (Source::stream(stream::iter(broken()), 2_000_000), "a source of known length that fails"),
            (Source::stream(stream::iter(head()), 1_000_001), "a source that is too short"),
            (Source::stream(stream::iter(head()), 999_999), "a source that is too long"),
        ] {
            let transfer = Transfer::new("broken", source);
            let Err(error) = transfer.run(&*self.store).await else { panic!("{what} is uploaded") };
            assert_eq!(error.kind(), ErrorKind::SourceFailed, "{what}: {error:?}");
            self.harmless(&error, None);
            transfer.take_back(&*self.store).await;
            self.empty(what).await;
        }
    }

    /// Nobody waits for the upload any more.
    async fn dropped(&self) {
        use futures_util::StreamExt as _;
        for pieces in [0, 1, 3] {
            let head = stream::iter((0..pieces).map(|_| Ok::<_, Error>(pattern(256 << 10))));
            let transfer =
                Transfer::new("endless", Source::stream(head.chain(stream::pending()), 10_000_000));
            let upload = transfer.run(&*self.store);
            let waited = tokio::time::timeout(Duration::from_millis(300), upload).await;
            assert!(waited.is_err(), "an upload has ended of which bytes are missing");
            transfer.take_back(&*self.store).await;
            self.empty("an upload that was dropped").await;
        }
    }

    async fn check(&self, uploaded: &Uploaded, name: &str, bytes: &[u8], what: &str) {
        let url = uploaded.url();
        let most = self.store.max_url_len(name);
        assert!(url.as_str().len() <= most, "{what}: a link is longer than max_url_len, {most}");
        let origins = self.store.origins();
        if !origins.is_empty() {
            let announced = self.store.announced_origins().await.expect("the origins");
            let own = origins.iter().chain(&announced).any(|origin| origin == url.origin());
            assert!(own, "{what}: a link to {}, which is none of the store's origins", url.origin());
        }
        assert!(!uploaded.handle().is_empty(), "{what}: there is nothing to delete it by");
        if let Some(time) = uploaded.expires_at() {
            assert!(time > SystemTime::now(), "{what}: it has expired already");
        }
        let text = format!("{uploaded:?}");
        self.hides_secrets(&text);
        for secret in [uploaded.handle(), url.as_str()] {
            assert!(!text.contains(secret), "{what}: a link or a handle in {text}");
        }
        let mut download = self.store.download(url).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let announced = download.length();
        let mut received = Vec::new();
        while let Some(piece) = download.chunk().await.unwrap_or_else(|error| panic!("{what}: {error:?}")) {
            received.extend_from_slice(&piece);
        }
        assert!(
            received == bytes,
            "{what}: {} bytes were sent, and {} others came back",
            bytes.len(),
            received.len()
        );
        assert!(
            announced.is_none_or(|len| len == bytes.len() as u64),
            "{what}: announced {announced:?} bytes"
        );
    }

    async fn delete(&self, handle: &str, what: &str) {
        self.store
            .delete(handle)
            .await
            .unwrap_or_else(|error| panic!("{what}: cannot be deleted: {error:?}"));
    }

    /// Waits until nothing is on the server: it may delete in its own time.
    async fn empty(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while (self.count)() > 0 {
            assert!(Instant::now() < deadline, "{what}: {} files are left on the server", (self.count)());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn harmless(&self, error: &Error, uploaded: Option<&Uploaded>) {
        let mut text = format!("{error} {error:?}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text += &format!(" {cause} {cause:?}");
            source = cause.source();
        }
        self.hides_secrets(&text);
        if let Some(uploaded) = uploaded {
            let shown = [uploaded.handle(), uploaded.url().path_and_query()];
            assert!(!shown.iter().any(|secret| text.contains(secret)), "a link or a handle in {text}");
        }
    }

    fn hides_secrets(&self, text: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret.as_str()), "a secret in {text}");
        }
    }
}

impl fmt::Debug for StoreTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTest").field("store", &self.store).finish_non_exhaustive()
    }
}

/// One upload as a bridge makes it.
struct Transfer {
    upload: Upload,
    ledger: Arc<Ledger>,
    tap: Arc<Tap>,
}

impl Transfer {
    fn new(name: &str, source: Source) -> Self {
        let ledger = Arc::new(Ledger::new(None));
        let budget = Arc::new(Budget::new(4, 16 << 20));
        let tap = Arc::new(Tap::new(0, Arc::clone(&ledger), budget, None));
        let upload = Upload::from_source(name, source).tapped(Arc::clone(&tap));
        Self { upload, ledger, tap }
    }

    async fn run(&self, store: &dyn LinkStore) -> Result<Uploaded> {
        store.upload(self.upload.clone()).await
    }

    /// Deletes what was announced, as a bridge does after a failure.
    async fn take_back(&self, store: &dyn LinkStore) {
        self.ledger.fail_all();
        delete_unwanted(store, &self.ledger).await.expect("what was announced can be deleted");
    }
}

/// Bytes in which no two places look alike for long.
fn pattern(len: usize) -> Bytes {
    let word =
        |index: usize| (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).to_le_bytes();
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(word).collect();
    bytes.truncate(len);
    bytes.into()
}
