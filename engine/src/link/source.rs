//! Where the bytes of a payload come from: memory, a file, a reader, a stream, or something that can be opened again.

#[cfg(feature = "tokio")]
mod file;
#[cfg(feature = "tokio")]
mod reader;
#[cfg(feature = "nats")]
mod text;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::store::BoxFuture;
use crate::{Error, ErrorKind, Result};

/// The most bytes of one piece of an opened source: 256 KiB, with which a file is read fastest (measured).
pub const PIECE_LEN: usize = 256 * 1024;

/// Bytes to send, wherever they are. Cloning is cheap and shares what cannot be read twice.
///
/// | made with | length | can be read again |
/// |---|---|---|
/// | [`bytes`](Self::bytes), [`chunks`](Self::chunks) | known | yes |
/// | [`file`](Self::file) | looked up when it is sent, if it is a regular file with bytes in it | if it is a regular file |
/// | [`reader`](Self::reader), [`stream`](Self::stream) | if the caller says so | no |
/// | [`factory`](Self::factory) | if the caller says so | yes |
///
/// What can be read again is uploaded again where an upload fails in a way that another try may cure. A source of known
/// length must have exactly that many bytes: a file that grows or shrinks while it is read is an error.
///
/// # Cost
/// Bytes in memory are never copied. Everything else is read in pieces of at most [`PIECE_LEN`], of which one source
/// holds eight at most, 2 MiB.
///
/// # Examples
/// ```
/// use natsbridge::link::Source;
///
/// let source = Source::bytes("hello");
/// assert_eq!((source.known_len(), source.is_repeatable()), (Some(5), true));
/// ```
#[derive(Clone)]
pub struct Source {
    kind: Kind,
    len: Option<u64>,
    /// Whether bytes that are not UTF-8 are an error.
    #[cfg(feature = "nats")]
    text: bool,
}

type Opener = Arc<dyn Fn() -> BoxFuture<'static, Result<Source>> + Send + Sync>;
#[cfg(feature = "tokio")]
type Once = Arc<Mutex<Option<Box<dyn Pieces>>>>;

#[derive(Clone)]
enum Kind {
    Memory(Arc<[Bytes]>),
    #[cfg(feature = "tokio")]
    File(Arc<std::path::Path>),
    /// A file that is no regular one: a pipe or a device, of unknown length.
    #[cfg(feature = "tokio")]
    Device(Arc<std::path::Path>),
    #[cfg(feature = "tokio")]
    Once(Once),
    Factory(Opener),
    /// Begun already: what is left of it, head included, and how to get it all once more.
    #[cfg(feature = "nats")]
    Begun(Once, Box<Source>),
}

/// An opened source.
pub(crate) trait Pieces: Send {
    /// The next bytes, at most [`PIECE_LEN`] and at least one, or `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>>;
}

impl Source {
    /// Bytes in one piece.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::chunks(vec![bytes.into()])
    }

    /// Bytes in several pieces; the source is their concatenation.
    pub fn chunks(chunks: Vec<Bytes>) -> Self {
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::of(Kind::Memory(chunks.into()), Some(len))
    }

    /// A file by its path. It is looked at when it is sent, not here.
    ///
    /// A regular file is read as it is then: its length is looked up, and if it is longer or shorter when it is read to
    /// its end, that is an error of kind [`SourceFailed`](ErrorKind::SourceFailed). A pipe or a device has no known length.
    #[cfg(feature = "tokio")]
    pub fn file(path: impl Into<std::path::PathBuf>) -> Self {
        Self::of(Kind::File(path.into().into()), None)
    }

    /// A reader, and how many bytes to take from it: exactly `len`, or all that it has.
    ///
    /// No byte behind `len` is read, so that the reader may be a connection that stays open.
    #[cfg(feature = "tokio")]
    pub fn reader(reader: impl tokio::io::AsyncRead + Send + 'static, len: impl Into<Option<u64>>) -> Self {
        let len = len.into();
        Self::once(reader::Reader::new(reader, len), len)
    }

    /// A stream of pieces of any length, and how many bytes it has, if that is known.
    ///
    /// An error of the stream fails the send with [`SourceFailed`](ErrorKind::SourceFailed), whose source it is.
    #[cfg(feature = "nats")]
    pub fn stream<S, B, E>(stream: S, len: impl Into<Option<u64>>) -> Self
    where
        S: futures_util::Stream<Item = std::result::Result<B, E>> + Send + 'static,
        B: Into<Bytes>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::once(reader::Streamed::new(stream), len.into())
    }

    /// A function that opens the bytes anew each time: a source that can be read again, so that a failed upload of it can
    /// be tried again. Each source that it returns must have the same bytes.
    ///
    /// # Examples
    /// ```
    /// use natsbridge::link::Source;
    ///
    /// let rows = vec!["a,b\n", "1,2\n"];
    /// let source = Source::factory(8, move || {
    ///     let rows = rows.clone();
    ///     async move { Ok(Source::bytes(rows.concat())) }
    /// });
    /// assert!(source.is_repeatable());
    /// ```
    pub fn factory<F, R>(len: impl Into<Option<u64>>, open: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Self>> + Send + 'static,
    {
        let open: Opener = Arc::new(move || Box::pin(open()));
        Self::of(Kind::Factory(open), len.into())
    }

    #[cfg(feature = "tokio")]
    fn once(pieces: impl Pieces + 'static, len: Option<u64>) -> Self {
        Self::of(Kind::Once(once(pieces)), len)
    }

    fn of(kind: Kind, len: Option<u64>) -> Self {
        Self {
            kind,
            len,
            #[cfg(feature = "nats")]
            text: false,
        }
    }

    /// Insists on UTF-8.
    #[cfg(feature = "nats")]
    pub(crate) fn require_text(&mut self) {
        self.text = true;
    }

    /// How many bytes there are, if that is known; a file's only after [`measure`](Self::measure).
    pub fn known_len(&self) -> Option<u64> {
        self.len
    }

    /// Whether it can be read more than once.
    pub fn is_repeatable(&self) -> bool {
        match &self.kind {
            Kind::Memory(_) | Kind::Factory(_) => true,
            #[cfg(feature = "tokio")]
            Kind::File(_) => true,
            #[cfg(feature = "tokio")]
            Kind::Device(_) => false,
            #[cfg(feature = "tokio")]
            Kind::Once(_) => false,
            #[cfg(feature = "nats")]
            Kind::Begun(_, whole) => whole.is_repeatable(),
        }
    }

    /// The bytes, if they are in memory.
    pub fn memory(&self) -> Option<&[Bytes]> {
        match &self.kind {
            Kind::Memory(chunks) => Some(chunks),
            _ => None,
        }
    }

    /// Looks up a file's length; of another source nothing is learned that was not known.
    ///
    /// # Errors
    /// [`SourceFailed`](ErrorKind::SourceFailed) if there is no such file, or if it is a folder.
    pub fn measure(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            #[cfg(feature = "tokio")]
            if let Kind::File(path) = &self.kind {
                let path = Arc::clone(path);
                match file::measure(Arc::clone(&path)).await? {
                    file::Measured::Regular(len) => self.len = len,
                    file::Measured::Device => self.kind = Kind::Device(path),
                }
            }
            Ok(())
        })
    }

    /// Opens it for reading from its beginning.
    pub(crate) fn open(&self) -> BoxFuture<'_, Result<Box<dyn Pieces>>> {
        Box::pin(async move {
            let pieces = self.open_unchecked().await?;
            #[cfg(feature = "nats")]
            if self.text {
                return Ok(Box::new(text::Text::new(pieces)) as Box<dyn Pieces>);
            }
            Ok(pieces)
        })
    }

    fn open_unchecked(&self) -> BoxFuture<'_, Result<Box<dyn Pieces>>> {
        Box::pin(async move {
            match &self.kind {
                Kind::Memory(chunks) => Ok(Box::new(InMemory::new(chunks)) as Box<dyn Pieces>),
                #[cfg(feature = "tokio")]
                Kind::File(path) => {
                    Ok(Box::new(file::open(Arc::clone(path), self.len, None).await?) as Box<dyn Pieces>)
                }
                #[cfg(feature = "tokio")]
                Kind::Device(path) => {
                    Ok(Box::new(file::open(Arc::clone(path), None, None).await?) as Box<dyn Pieces>)
                }
                #[cfg(feature = "tokio")]
                Kind::Once(once) => take(once),
                Kind::Factory(open) => open().await?.open().await,
                #[cfg(feature = "nats")]
                Kind::Begun(once, whole) => match take(once) {
                    Ok(pieces) => Ok(pieces),
                    Err(_) => whole.open().await,
                },
            }
        })
    }

    /// A file's bytes, with their digest computed by the thread that reads them.
    #[cfg(feature = "tokio")]
    pub(crate) fn file_path(&self) -> Option<&Arc<std::path::Path>> {
        #[cfg(feature = "nats")]
        if self.text {
            return None; // somebody has to look at it
        }
        match &self.kind {
            Kind::File(path) => Some(path),
            _ => None,
        }
    }

    /// This source after its first bytes were read from it: `head`, and `rest` with what comes after.
    #[cfg(feature = "nats")]
    pub(crate) fn begun(self, head: Vec<Bytes>, rest: Box<dyn Pieces>) -> Self {
        // What is whole again was checked, where it has to be, on the way.
        let len = self.len;
        let begun = once(Begun { head: InMemory::new(&head), rest });
        Self::of(Kind::Begun(begun, Box::new(self)), len)
    }
}

#[cfg(feature = "tokio")]
pub(crate) use file::{DigestTask, open as open_file};

#[cfg(feature = "tokio")]
fn once(pieces: impl Pieces + 'static) -> Once {
    Arc::new(Mutex::new(Some(Box::new(pieces))))
}

#[cfg(feature = "tokio")]
fn take(once: &Once) -> Result<Box<dyn Pieces>> {
    let taken = once.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken.ok_or_else(|| Error::new(ErrorKind::Misuse, "a reader or stream can be sent only once"))
}

/// The error for bytes that could not be read.
pub(crate) fn failed(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::SourceFailed, what)
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Memory(_) => "memory",
            #[cfg(feature = "tokio")]
            Kind::File(_) | Kind::Device(_) => "file",
            #[cfg(feature = "tokio")]
            Kind::Once(_) => "reader",
            Kind::Factory(_) => "factory",
            #[cfg(feature = "nats")]
            Kind::Begun(..) => "begun",
        };
        f.debug_struct("Source").field("kind", &kind).field("len", &self.len).finish_non_exhaustive()
    }
}

/// Bytes in memory, handed out without a copy.
struct InMemory(VecDeque<Bytes>);

impl InMemory {
    fn new(chunks: &[Bytes]) -> Self {
        Self(chunks.iter().filter(|chunk| !chunk.is_empty()).cloned().collect())
    }
}

impl Pieces for InMemory {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        Poll::Ready(next_of(&mut self.0).map(Ok))
    }
}

/// The next piece of a queue of pieces that are not empty; large ones are cut.
fn next_of(queue: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let mut piece = queue.pop_front()?;
    if piece.len() > PIECE_LEN {
        queue.push_front(piece.split_off(PIECE_LEN));
    }
    Some(piece)
}

/// The first bytes, which have been read already, and then the rest.
#[cfg(feature = "nats")]
struct Begun {
    head: InMemory,
    rest: Box<dyn Pieces>,
}

#[cfg(feature = "nats")]
impl Pieces for Begun {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match self.head.poll_piece(cx) {
            Poll::Ready(Some(piece)) => Poll::Ready(Some(piece)),
            _ => self.rest.poll_piece(cx),
        }
    }
}
