//! What a file server can do for links: the [`LinkStore`] trait and the values that go in and out of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use bytes::Bytes;

use super::origin::Origin;
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
/// A store needs `upload`, `download` and a bound for its URLs:
/// ```
/// use bytes::Bytes;
/// use natsbridge::link::{BoxFuture, Download, LinkStore, LinkUrl, Upload, Uploaded};
/// use natsbridge::Result;
///
/// #[derive(Debug)]
/// struct Constant;
///
/// impl LinkStore for Constant {
///     fn upload(&self, _: Upload) -> BoxFuture<'_, Result<Uploaded>> {
///         Box::pin(async { Ok(Uploaded::new(LinkUrl::parse("http://files:8080/42")?)) })
///     }
///     fn download<'a>(&'a self, _: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
///         Box::pin(async { Ok(Download::from_bytes(Bytes::from_static(b"42"))) })
///     }
///     fn max_url_len(&self, _name: &str) -> usize {
///         "http://files:8080/42".len()
///     }
/// }
/// ```
pub trait LinkStore: Send + Sync + fmt::Debug + 'static {
    /// Stores the bytes and says where they can be fetched.
    fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>>;

    /// Stores several at once: one result for each upload, in order.
    ///
    /// An upload that fails does not undo the others; the caller deletes them. When the future is dropped, only the store
    /// knows what it has stored so far: the Plik store deletes it, the default does not. The default uploads one after
    /// the other.
    fn upload_batch(&self, uploads: Vec<Upload>) -> BoxFuture<'_, Vec<Result<Uploaded>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(uploads.len());
            for upload in uploads {
                results.push(self.upload(upload).await);
            }
            results
        })
    }

    /// Deletes what [`upload`](Self::upload) returned. Deleting what is already gone succeeds.
    ///
    /// The default is an error of kind [`Misuse`](ErrorKind::Misuse), which says that this store cannot delete.
    fn delete<'a>(&'a self, uploaded: &'a Uploaded) -> BoxFuture<'a, Result<()>> {
        let _ = uploaded;
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

/// What to store: a name as the user gave it, and bytes in any number of pieces.
///
/// The pieces are sent one after the other and never glued together, so a large table costs no second copy.
#[derive(Clone)]
pub struct Upload {
    name: String,
    chunks: Vec<Bytes>,
    /// The sum of the lengths of `chunks`.
    len: u64,
}

impl Upload {
    /// An upload in one piece.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::from_chunks(name, vec![bytes.into()])
    }

    /// An upload in several pieces; the file is their concatenation.
    pub fn from_chunks(name: impl Into<String>, chunks: Vec<Bytes>) -> Self {
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { name: name.into(), chunks, len }
    }

    /// The name as the user gave it: any text at all. Stores make a safe file name of it themselves.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes in all pieces together.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no byte to store. An empty file is a valid upload.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, in order.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The name and the pieces.
    pub fn into_parts(self) -> (String, Vec<Bytes>) {
        (self.name, self.chunks)
    }

    /// All bytes in one piece: free if there is only one, a copy otherwise.
    pub fn into_bytes(self) -> Bytes {
        let mut chunks = self.chunks;
        if chunks.len() == 1 { chunks.remove(0) } else { chunks.concat().into() }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("name", &self.name)
            .field("len", &self.len)
            .field("chunks", &self.chunks.len())
            .finish()
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

    /// Adds what the store itself needs to delete the file; nobody else reads it and it never leaves the sender.
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
    fn an_upload_counts_all_its_pieces() {
        let upload = Upload::from_chunks("a", vec![Bytes::from_static(b"ab"), Bytes::new(), "c".into()]);
        assert_eq!(upload.len(), 3);
        assert_eq!(upload.clone().into_bytes(), "abc");
        assert!(Upload::new("empty", Bytes::new()).is_empty());
        assert_eq!(Upload::from_chunks("none", vec![]).into_bytes(), "");
    }

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
