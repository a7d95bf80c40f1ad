//! What a file server can do for links: the [`LinkStore`] trait and the values that go in and out of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::origin::Origin;
use super::source::Source;
use super::tap::{Tap, UploadBody};
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

/// A boxed future, so that stores can be used as `dyn LinkStore`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Somewhere to put large payloads, and to get them back from.
///
/// Implementations make one attempt for each call: when to try again is decided outside, in one place
/// ([`Retry`](super::Retry)). Dropping a returned future abandons the transfer and leaks nothing on this side.
///
/// # Errors
/// Kinds that callers act on: [`LinkGone`](ErrorKind::LinkGone) where trying again is pointless;
/// [`LinkUnavailable`](ErrorKind::LinkUnavailable), [`LinkTruncated`](ErrorKind::LinkTruncated),
/// [`Network`](ErrorKind::Network) and [`TimedOut`](ErrorKind::TimedOut) where it is not;
/// [`UploadRejected`](ErrorKind::UploadRejected) and [`UploadUnavailable`](ErrorKind::UploadUnavailable) likewise
/// for uploads. No error may hold credentials or a full link URL.
///
/// # Examples
/// A store of your own: its links, what it announces, what it streams, and the test that it passes.
/// ```
/// use std::collections::HashMap;
/// use std::fmt;
/// use std::sync::{Arc, Mutex};
///
/// use bytes::{Bytes, BytesMut};
/// use natsbridge::link::{BoxFuture, Download, LinkStore, LinkUrl, Origin, Upload, Uploaded};
/// use natsbridge::{Error, ErrorKind, Result};
///
/// /// The "server": files by the handle that the store gave them.
/// #[derive(Clone, Default)]
/// struct Shelf(Arc<Mutex<(u64, HashMap<String, Bytes>)>>);
///
/// impl LinkStore for Shelf {
///     fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
///         Box::pin(async move {
///             let number = { let mut shelf = self.0.lock().unwrap(); shelf.0 += 1; shelf.0 };
///             // A server of yours would want a number that nobody can guess: whoever has the link has the file.
///             let url = LinkUrl::parse(&format!("http://shelf.example/{number:020}"))?;
///             let handle = format!("{number:020}");
///             // First this: from here on the caller deletes what is left if anything goes wrong.
///             upload.announce(handle.as_str()).await?;
///             let mut body = upload.open().await?; // `body.len()` is what to announce to a server, if it is known
///             let mut bytes = BytesMut::new();
///             while let Some(piece) = body.next().await? {
///                 bytes.extend_from_slice(&piece); // a server of yours would get each piece as it comes
///             }
///             self.0.lock().unwrap().1.insert(handle.clone(), bytes.freeze());
///             Ok(Uploaded::new(url).with_handle(handle))
///         })
///     }
///
///     /// What is not there any more counts as deleted.
///     fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
///         self.0.lock().unwrap().1.remove(handle);
///         Box::pin(async { Ok(()) })
///     }
///
///     /// One attempt, and the kind of the error says whether another can help.
///     fn download<'a>(&'a self, url: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
///         Box::pin(async move {
///             let handle = url.path_and_query().trim_start_matches('/');
///             let file = self.0.lock().unwrap().1.get(handle).cloned();
///             let gone = || Error::new(ErrorKind::LinkGone, "the file is not on the shelf any more");
///             file.map(Download::from_bytes).ok_or_else(gone)
///         })
///     }
///
///     /// Receivers with this store fetch its links without naming the place again.
///     fn origins(&self) -> Vec<Origin> {
///         Origin::parse("http://shelf.example").into_iter().collect()
///     }
///
///     /// Messages are planned with it, so it must not be less than what comes.
///     fn max_url_len(&self, _name: &str) -> usize {
///         "http://shelf.example/".len() + 20
///     }
/// }
///
/// /// Without the files and their names, which are secrets.
/// impl fmt::Debug for Shelf {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("Shelf")
///     }
/// }
///
/// # #[cfg(feature = "nats")]
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let shelf = Shelf::default();
/// let files = shelf.clone();
/// natsbridge::link::testing::StoreTest::new(shelf, move || files.0.lock().unwrap().1.len()).run().await;
/// # }
/// # #[cfg(not(feature = "nats"))] fn main() {}
/// ```
pub trait LinkStore: Send + Sync + fmt::Debug + 'static {
    /// Stores the bytes and says where they can be fetched: one attempt, in which [`Upload::open`] is called once.
    ///
    /// A store reads the body to its end. What may exist on the server is [announced](Upload::announce) before.
    fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>>;

    /// Stores several at once: one result for each upload, in order.
    ///
    /// An upload that fails does not undo the others; the caller deletes them. When the future is dropped, the caller
    /// deletes what was [announced](Upload::announce). The default uploads one after the other.
    fn upload_batch(&self, uploads: Vec<Upload>) -> BoxFuture<'_, Vec<Result<Uploaded>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(uploads.len());
            for upload in uploads {
                results.push(self.upload(upload).await);
            }
            results
        })
    }

    /// Deletes what was announced or returned with this handle. Deleting what is already gone succeeds.
    ///
    /// The default is an error of kind [`Misuse`](ErrorKind::Misuse), which says that this store cannot delete.
    fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
        let _ = handle;
        Box::pin(async { Err(Error::new(ErrorKind::Misuse, "this store cannot delete")) })
    }

    /// Whether [`download`](Self::download) can work at all; a bridge whose store cannot fetches allowed origins by plain
    /// HTTP. `true` unless the store says otherwise.
    fn can_download(&self) -> bool {
        true
    }

    /// Starts to fetch what is behind a link: one request, no retry, no redirect followed.
    ///
    /// The [`Policy`](super::Policy) was asked before; a store need not ask again.
    fn download<'a>(&'a self, url: &'a LinkUrl) -> BoxFuture<'a, Result<Download>>;

    /// Starts to fetch what is left of a download that broke off after `from` bytes, if the file is still the one that
    /// `validator` stands for; see [`Download::with_validator`].
    ///
    /// What comes back says by its [`offset`](Download::offset) where it begins: at `from`, or at 0 where the store or its
    /// server cannot do it, or the file is another one now. The default downloads the whole.
    fn resume<'a>(
        &'a self,
        url: &'a LinkUrl,
        from: u64,
        validator: &'a str,
    ) -> BoxFuture<'a, Result<Download>> {
        let _ = (from, validator);
        self.download(url)
    }

    /// The places whose links a receiver with this store may fetch without naming them again; none by default.
    fn origins(&self) -> Vec<Origin> {
        Vec::new()
    }

    /// Further origins that the server announces itself; none by default.
    ///
    /// The store asks its server once and remembers a successful answer.
    fn announced_origins(&self) -> BoxFuture<'_, Result<Vec<Origin>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// An upper bound, in bytes, of the URL that [`upload`](Self::upload) will return for this name.
    ///
    /// The planner counts with it before anything is uploaded, so it must not be less than what comes.
    fn max_url_len(&self, name: &str) -> usize;
}

/// What to store: a name as the user gave it, and where the bytes come from.
///
/// # Examples
/// How a store reads an upload, piece by piece, with memory that does not depend on its length:
/// ```
/// use natsbridge::link::Upload;
///
/// # async fn store(upload: Upload) -> natsbridge::Result<()> {
/// upload.announce("file-7").await?; // from here on the caller sees to it that nothing is left behind
/// let mut body = upload.open().await?;
/// println!("{:?} bytes", body.len()); // what to announce to the server, if it is known
/// while let Some(piece) = body.next().await? {
///     println!("{} more", piece.len());
/// }
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store(Upload::new("a", "hello"))).unwrap();
/// ```
#[derive(Clone)]
pub struct Upload {
    name: String,
    source: Source,
    /// The caller's side, if there is one: budget, digest, what was announced.
    tap: Option<Arc<Tap>>,
}

impl Upload {
    /// An upload in one piece.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::from_source(name, Source::bytes(bytes))
    }

    /// An upload in several pieces; the file is their concatenation.
    pub fn from_chunks(name: impl Into<String>, chunks: Vec<Bytes>) -> Self {
        Self::from_source(name, Source::chunks(chunks))
    }

    /// An upload of whatever the source has.
    pub fn from_source(name: impl Into<String>, source: Source) -> Self {
        Self { name: name.into(), source, tap: None }
    }

    /// The same upload, observed by the caller.
    #[cfg(feature = "nats")]
    pub(crate) fn tapped(mut self, tap: Arc<Tap>) -> Self {
        self.tap = Some(tap);
        self
    }

    /// The name as the user gave it: any text at all. Stores make a safe file name of it themselves.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes in all, if that is known. 0 is a valid length. A body of known length has exactly so many bytes, or fails.
    #[allow(clippy::len_without_is_empty, reason = "an unknown length is neither")]
    pub fn len(&self) -> Option<u64> {
        self.source.known_len()
    }

    /// Where the bytes come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Starts to read: every call from the beginning, where the source can be read again.
    ///
    /// Waits until the caller's budget has room, which the body holds until it is dropped. So a store opens one body at a
    /// time for each transfer, and drops it when the bytes are out.
    ///
    /// # Errors
    /// [`SourceFailed`](ErrorKind::SourceFailed) if the bytes are not there, [`Misuse`](ErrorKind::Misuse) for the second
    /// reading of what can be read once.
    pub fn open(&self) -> BoxFuture<'_, Result<UploadBody>> {
        Box::pin(UploadBody::open(&self.source, self.tap.as_ref()))
    }

    /// All bytes in one piece: free if they are in memory in one piece, a copy otherwise.
    ///
    /// For stores that cannot do better: the memory is that of the whole upload.
    ///
    /// # Errors
    /// As [`open`](Self::open), and those of reading.
    pub fn bytes(&self) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(async move {
            let mut body = self.open().await?;
            let mut pieces = Vec::new();
            while let Some(piece) = body.next().await? {
                pieces.push(piece);
            }
            Ok(match self.source.memory() {
                Some([bytes]) => bytes.clone(),
                _ if pieces.len() == 1 => pieces.remove(0),
                _ => pieces.concat().into(),
            })
        })
    }

    /// Tells the caller that something may exist on the server from now on, which [`LinkStore::delete`] can delete by this
    /// handle: text that only the store understands, without white space at its ends.
    ///
    /// To be called before any byte goes out, as soon as there is something to delete by, and again when there is something
    /// better. The caller deletes every announced handle if the upload fails or is dropped half-way, the last one first,
    /// and if the message does not go out. Uploads of one batch may announce the same handle: it is deleted when none of
    /// them is wanted any more.
    ///
    /// # Errors
    /// Those of the caller's record of uploads, where there is one: then nothing may be sent.
    pub fn announce(&self, handle: impl Into<String>) -> BoxFuture<'_, Result<()>> {
        let handle = handle.into();
        Box::pin(async move {
            match &self.tap {
                Some(tap) => tap.announce(handle).await,
                None => Ok(()),
            }
        })
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("name", &self.name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Where an upload ended up. `Debug` hides the URL and the handle, because both are secrets.
#[derive(Clone)]
pub struct Uploaded {
    url: LinkUrl,
    expires_at: Option<SystemTime>,
    handle: String,
}

impl Uploaded {
    /// An upload that can be fetched at `url`, with no known end of life.
    pub fn new(url: LinkUrl) -> Self {
        Self { url, expires_at: None, handle: String::new() }
    }

    /// Says when the store will delete the file by itself.
    #[must_use]
    pub fn with_expiry(mut self, expires_at: SystemTime) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Adds what the store itself needs to delete the file, and it alone; nobody else reads it and it never leaves the
    /// sender.
    #[must_use]
    pub fn with_handle(mut self, handle: impl Into<String>) -> Self {
        self.handle = handle.into();
        self
    }

    /// The link that goes into the message; its text is [`LinkUrl::as_str`].
    pub fn url(&self) -> &LinkUrl {
        &self.url
    }

    /// When the store will delete the file by itself; `None` if never, or not known.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The store's private data; empty if it has none.
    pub fn handle(&self) -> &str {
        &self.handle
    }
}

impl fmt::Debug for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploaded")
            .field("url", &self.url)
            .field("expires_at", &self.expires_at)
            .field("handle", &if self.handle.is_empty() { "" } else { "…" })
            .finish()
    }
}

/// The bytes of a download, as they come.
pub trait Body: Send {
    /// The next piece, or `None` at the end. Not called again after the end or an error.
    ///
    /// # Errors
    /// A body that ends early must be an error ([`LinkTruncated`](ErrorKind::LinkTruncated)), never an early `None`.
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>>;
}

/// A download that has begun: the announced length, if any, and the bytes as they come.
///
/// Dropping it ends the transfer.
pub struct Download {
    length: Option<u64>,
    offset: u64,
    validator: Option<String>,
    body: Box<dyn Body>,
}

impl Download {
    /// A download from any source of pieces. `length` is the announced number of bytes of the whole file, if the source
    /// knows it.
    pub fn new(length: Option<u64>, body: impl Body + 'static) -> Self {
        Self { length, offset: 0, validator: None, body: Box::new(body) }
    }

    /// A download that is already there.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::new(Some(bytes.len() as u64), Whole(Some(bytes)))
    }

    /// Names the exact content that is downloaded, so that [`LinkStore::resume`] can ask for the rest of it: two downloads
    /// with the same validator have the same bytes. In HTTP that is a strong entity tag.
    #[must_use]
    pub fn with_validator(mut self, validator: impl Into<String>) -> Self {
        self.validator = Some(validator.into());
        self
    }

    /// Says that the pieces begin at this position of the file, because that was asked for.
    #[must_use]
    pub fn starting_at(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The position in the file at which the pieces begin: 0 unless the rest of it was asked for.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The name of the exact content, if the store can be asked for a part of it.
    pub fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    #[cfg(any(feature = "plik", feature = "nats"))]
    pub(super) fn take_validator(&mut self) -> Option<String> {
        self.validator.take()
    }

    /// How many bytes the whole file has, as the source announced; `None` if it did not say.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// Those of the store: the transfer broke, ended early, or a deadline passed.
    pub fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        self.body.chunk()
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A body that is already in memory.
struct Whole(Option<Bytes>);

impl Body for Whole {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        let bytes = self.0.take().filter(|bytes| !bytes.is_empty());
        Box::pin(async move { Ok(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_neither_url_nor_handle() {
        let uploaded = Uploaded::new(LinkUrl::parse("http://files:8080/file/SECRET/x").unwrap())
            .with_handle("TOKEN")
            .with_expiry(SystemTime::UNIX_EPOCH);
        let text = format!("{uploaded:?}");
        assert!(!text.contains("SECRET") && !text.contains("TOKEN"), "{text}");
        assert!(text.contains("http://files:8080/…"), "{text}");
    }

    #[test]
    fn a_store_is_usable_as_a_trait_object() {
        fn takes(_: Option<&dyn LinkStore>) {}
        takes(None);
        fn sendable<T: Send>() {}
        sendable::<Download>();
    }
}
