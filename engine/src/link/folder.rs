//! Links into a folder of this machine, for tests and for senders and receivers on one host.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::origin::Origin;
use super::plik::safe_name;
use super::source::PIECE_LEN;
use super::store::{Body, BoxFuture, Download, LinkStore, Upload, Uploaded};
use super::tls::random_id;
use super::url::{LinkUrl, encode_segment};
use crate::{Error, ErrorKind, Result};

/// Under `.invalid`, which never resolves (RFC 6761): whoever has not this store cannot even ask for such a link.
const DOMAIN: &str = "folder.natsbridge.invalid";
/// Holds the folder's id, by which links know it.
const ID_FILE: &str = "natsbridge-folder";
/// In front of the name of a file that is not whole yet.
const PART: &str = ".part-";
/// How often at most an upload looks for files that have expired.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A part that nobody has locked is left alone for so long: it may have been made just now.
const YOUNG: Duration = Duration::from_secs(60);

/// A folder of this machine as a file server.
///
/// Links have the form `http://ID.folder.natsbridge.invalid/FILE/NAME`, where the id is the folder's own and the file's name
/// cannot be guessed. The host is a reserved one that never resolves: a receiver with a `FolderStore` for the same folder
/// reads the file, and every other receiver refuses the link by its policy. The name in the link is for people; on disk
/// files have names of their own, so no name can lead out of the folder.
///
/// A file is written next to its place, flushed to the disk and then renamed, so that a link never leads to half a file.
/// Files are for this user only (0600). They live 24 hours unless [`lifetime`](Self::lifetime) says otherwise: expired
/// ones are not handed out, and removed when the folder is opened and by uploads, which look once a minute at most.
/// Both ways hold one piece of 256 KiB in memory for each transfer. Clones share the folder.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), natsbridge::Error> {
/// use natsbridge::link::{FolderStore, LinkStore, Upload};
///
/// let folder = std::env::temp_dir().join(format!("natsbridge-{}", std::process::id()));
/// let store = FolderStore::open(&folder)?;
/// let uploaded = store.upload(Upload::new("report.pdf", "hello")).await?;
/// let mut download = store.download(uploaded.url()).await?;
/// assert_eq!(download.chunk().await?.expect("there is a piece"), "hello");
/// store.delete(uploaded.handle()).await?;
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FolderStore {
    folder: Arc<Folder>,
    /// `None` is for ever.
    lifetime: Option<Duration>,
}

struct Folder {
    path: PathBuf,
    /// 32 hexadecimal digits.
    id: String,
    origin: Origin,
    swept: Mutex<Option<Instant>>,
}

impl FolderStore {
    /// Opens a folder, which is made if it is not there (0700), and removes from it what has expired.
    ///
    /// Reads and writes the folder on this thread.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if it cannot be made or written, or is a folder of other things.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let failed = |error: io::Error| {
            let what = format!("the folder {} cannot be used for links", path.display());
            Error::new(ErrorKind::Misuse, what).with_source(error)
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(failed)?;
        let id = match folder_id(&path).map_err(failed)? {
            Some(id) => id,
            None => {
                make_folder_id(&path, &random_id()?).map_err(failed)?;
                // Of two processes that made it at once, one has.
                folder_id(&path).map_err(failed)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?
            }
        };
        let origin = Origin::parse(&format!("http://{id}.{DOMAIN}"))?;
        let store = Self {
            folder: Arc::new(Folder { path, id, origin, swept: Mutex::default() }),
            lifetime: Some(Duration::from_secs(24 * 60 * 60)),
        };
        store.folder.sweep();
        Ok(store)
    }

    /// Sets how long files live, in whole seconds; `None` is until they are deleted. Default 24 hours.
    #[must_use]
    pub fn lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.lifetime = lifetime.into();
        self
    }

    /// Where links into this folder point: for the [`Policy`](super::Policy) of receivers that are built by hand.
    pub fn origin(&self) -> &Origin {
        &self.folder.origin
    }

    fn url(&self, file: &str, name: &str) -> String {
        let mut url = format!("http://{}.{DOMAIN}/{file}/", self.folder.id);
        encode_segment(&safe_name(name), &mut url);
        url
    }

    async fn put(&self, upload: Upload) -> Result<Uploaded> {
        let expires_at = self.lifetime.and_then(|lifetime| SystemTime::now().checked_add(lifetime));
        let expiry =
            expires_at.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
        let stored = StoredName { id: random_id()?, expiry };
        let file = stored.to_string();
        let url = LinkUrl::parse(&self.url(&file, upload.name()))?;
        let handle = format!("{}/{file}", self.folder.id);
        upload.announce(handle.as_str()).await?;
        let mut body = upload.open().await?;

        let folder = Arc::clone(&self.folder);
        let mut part = blocking(move || {
            folder.sweep_now_and_then();
            Part::create(&folder, file)
        })
        .await?;
        while let Some(piece) = body.next().await? {
            // The part goes along, so that it is removed by whoever has it last.
            part = blocking(move || part.write(&piece)).await?;
        }
        drop(body);
        blocking(move || part.finish()).await?.keep();

        let uploaded = Uploaded::new(url).with_handle(handle);
        Ok(match expiry {
            Some(seconds) => uploaded.with_expiry(UNIX_EPOCH + Duration::from_secs(seconds)),
            None => uploaded,
        })
    }

    /// The whole, or what comes after so many bytes of the file of that name, if there are so many.
    async fn get(&self, url: &LinkUrl, rest: Option<(u64, &str)>) -> Result<Download> {
        if url.origin() != &self.folder.origin {
            let what = "the link leads into another folder than this store's";
            return Err(Error::new(ErrorKind::LinkRejected, what));
        }
        let stored = url.path_and_query()[1..].split_once('/').and_then(|(file, _)| StoredName::parse(file));
        let Some(stored) = stored else {
            return Err(Error::new(ErrorKind::LinkRejected, "the link is none that this store has made"));
        };
        if stored.has_expired() {
            return Err(Error::new(ErrorKind::LinkGone, "the file has expired"));
        }
        let name = stored.to_string();
        let from = rest.map_or(0, |(from, of)| if of == name { from } else { 0 });
        let path = self.folder.path.join(&name);
        let (file, from, len) = blocking(move || {
            let mut file = File::open(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    Error::new(ErrorKind::LinkGone, "the file is not there any more: expired or deleted")
                }
                _ => Error::new(ErrorKind::LinkUnavailable, "the file cannot be opened").with_source(error),
            })?;
            let len = file.metadata().map_err(unreadable)?.len();
            let from = if from <= len { from } else { 0 };
            file.seek(SeekFrom::Start(from)).map_err(unreadable)?;
            Ok((file, from, len))
        })
        .await?;
        let reading = Reading { file: Some(file), left: len - from };
        // A file is never written again under its name.
        Ok(Download::new(Some(len), reading).starting_at(from).with_validator(name))
    }
}

impl LinkStore for FolderStore {
    fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
        Box::pin(self.put(upload))
    }

    fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let file = handle.split_once('/').filter(|(id, _)| *id == self.folder.id).map(|(_, file)| file);
            let Some(stored) = file.and_then(StoredName::parse) else {
                return Err(Error::new(ErrorKind::Misuse, "this upload was not made by this store"));
            };
            let folder = Arc::clone(&self.folder);
            blocking(move || {
                let name = stored.to_string();
                for path in [folder.path.join(format!("{PART}{name}")), folder.path.join(name)] {
                    match fs::remove_file(path) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            let what = "a file cannot be removed from its folder";
                            return Err(Error::new(ErrorKind::UploadUnavailable, what).with_source(error));
                        }
                        _ => {}
                    }
                }
                Ok(())
            })
            .await
        })
    }

    fn download<'a>(&'a self, url: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
        Box::pin(self.get(url, None))
    }

    fn resume<'a>(
        &'a self,
        url: &'a LinkUrl,
        from: u64,
        validator: &'a str,
    ) -> BoxFuture<'a, Result<Download>> {
        Box::pin(self.get(url, Some((from, validator))))
    }

    fn origins(&self) -> Vec<Origin> {
        vec![self.folder.origin.clone()]
    }

    fn max_url_len(&self, name: &str) -> usize {
        let longest = StoredName { id: "0".repeat(32), expiry: Some(u64::MAX) };
        self.url(&longest.to_string(), name).len()
    }
}

impl fmt::Debug for FolderStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderStore")
            .field("path", &self.folder.path)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl Folder {
    fn sweep_now_and_then(&self) {
        let now = Instant::now();
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if swept.is_some_and(|swept| now.duration_since(swept) < SWEEP_EVERY) {
                return;
            }
            *swept = Some(now);
        }
        self.sweep();
    }

    /// Removes what has expired, and parts whose process has ended. What cannot be removed is left for the next time.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let part = name.strip_prefix(PART);
            let Some(stored) = StoredName::parse(part.unwrap_or(name)) else { continue };
            if if part.is_some() { is_abandoned(&entry.path()) } else { stored.has_expired() } {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether the process that wrote a part is gone, with its lock.
fn is_abandoned(path: &Path) -> bool {
    let old = |file: &File| {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > YOUNG))
    };
    OpenOptions::new().write(true).open(path).is_ok_and(|file| old(&file) && file.try_lock().is_ok())
}

fn folder_id(folder: &Path) -> io::Result<Option<String>> {
    let text = match fs::read_to_string(folder.join(ID_FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match is_id(text.trim_end()) {
        true => Ok(Some(text.trim_end().to_owned())),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{ID_FILE} in it holds no id"))),
    }
}

/// Appears whole or not at all, and never replaces another.
fn make_folder_id(folder: &Path, id: &str) -> io::Result<()> {
    let draft = folder.join(format!(".{ID_FILE}-{id}"));
    let made = create_private(&draft).and_then(|mut file| {
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&draft, folder.join(ID_FILE))
    });
    let _ = fs::remove_file(draft);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a file is called on disk and in links: an id and the second in which it expires, `ID-1767225600` or `ID-never`.
struct StoredName {
    id: String,
    expiry: Option<u64>,
}

impl StoredName {
    /// Only what [`Display`](fmt::Display) writes.
    fn parse(text: &str) -> Option<Self> {
        let (id, expiry) = text.split_once('-')?;
        let expiry = match expiry {
            "never" => None,
            digits => Some(digits.parse().ok()?),
        };
        let stored = Self { id: id.to_owned(), expiry };
        (is_id(id) && stored.to_string() == text).then_some(stored)
    }

    fn has_expired(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.expiry.is_some_and(|expiry| expiry <= now)
    }
}

impl fmt::Display for StoredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expiry {
            Some(expiry) => write!(f, "{}-{expiry}", self.id),
            None => write!(f, "{}-never", self.id),
        }
    }
}

/// A file on its way into the folder, locked; removed when it is dropped, unless it was kept.
struct Part {
    file: File,
    folder: Arc<Folder>,
    /// Where it is now: under another name until it is whole.
    path: PathBuf,
    name: String,
    kept: bool,
}

impl Part {
    fn create(folder: &Arc<Folder>, name: String) -> Result<Self> {
        let path = folder.path.join(format!("{PART}{name}"));
        let file = create_private(&path).map_err(unwritable)?;
        // Dropped from here on, it is removed.
        let part = Self { file, folder: Arc::clone(folder), path, name, kept: false };
        part.file.lock().map_err(unwritable)?;
        Ok(part)
    }

    fn write(mut self, piece: &[u8]) -> Result<Self> {
        self.file.write_all(piece).map_err(unwritable)?;
        Ok(self)
    }

    /// The file is whole: it gets its name, with its bytes on the disk before.
    fn finish(mut self) -> Result<Self> {
        self.file.sync_all().map_err(unwritable)?;
        let path = self.folder.path.join(&self.name);
        fs::rename(&self.path, &path).map_err(unwritable)?;
        self.path = path;
        // The name as well. Not every system can do it.
        #[cfg(unix)]
        File::open(&self.folder.path).and_then(|folder| folder.sync_all()).map_err(unwritable)?;
        Ok(self)
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file on its way out, piece by piece.
struct Reading {
    /// Always there between two pieces.
    file: Option<File>,
    left: u64,
}

impl Body for Reading {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(async move {
            let Some(mut file) = self.file.take().filter(|_| self.left > 0) else { return Ok(None) };
            let most = self.left.min(PIECE_LEN as u64);
            let (file, piece) = blocking(move || {
                let mut piece = Vec::with_capacity(most as usize);
                (&mut file).take(most).read_to_end(&mut piece).map_err(unreadable)?;
                Ok((file, piece))
            })
            .await?;
            if piece.is_empty() {
                let what = format!("the file in the folder ends {} bytes too early", self.left);
                return Err(Error::new(ErrorKind::LinkTruncated, what));
            }
            self.file = Some(file);
            self.left -= piece.len() as u64;
            Ok(Some(piece.into()))
        })
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Bug, "a task with files did not finish").with_source(error))
    })
}

fn unwritable(error: io::Error) -> Error {
    let kind = match error.kind() {
        // There may be room again.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::UploadUnavailable,
        _ => ErrorKind::UploadRejected,
    };
    Error::new(kind, "the file cannot be written into its folder").with_source(error)
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::LinkUnavailable, "the file cannot be read from its folder").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_its_own_making_are_files() {
        let id = "0123456789abcdef0123456789abcdef";
        for name in [format!("{id}-0"), format!("{id}-1767225600"), format!("{id}-never")] {
            assert_eq!(StoredName::parse(&name).unwrap().to_string(), name);
        }
        for name in [
            "",
            "..",
            id,
            &format!("{id}-"),
            &format!("{id}-01"),
            &format!("{id}-+1"),
            &format!("{id}-1/.."),
            &format!("{id}-18446744073709551616"),
            &format!("{}-1", &id[1..]),
            &format!("{}-1", id.to_uppercase()),
            &format!("../{id}-1"),
        ] {
            assert!(StoredName::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_sweep_takes_what_has_expired_and_what_was_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::open(dir.path()).unwrap();
        let name = |n: u8, expiry: &str| format!("{:032x}-{expiry}", n);
        let old = SystemTime::now() - YOUNG * 2;
        let make = |name: String, modified: SystemTime| {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_modified(modified).unwrap();
            file
        };
        make(name(1, "1"), old);
        make(format!("{PART}{}", name(2, "never")), old);
        make(name(3, "never"), old);
        make(name(4, "99999999999"), old);
        make(format!("{PART}{}", name(5, "never")), SystemTime::now());
        make("something-else".to_owned(), old);
        let live = make(format!("{PART}{}", name(6, "1")), old);
        live.lock().unwrap();
        store.folder.sweep();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = vec![
            format!("{PART}{}", name(5, "never")),
            format!("{PART}{}", name(6, "1")),
            name(3, "never"),
            name(4, "99999999999"),
            ID_FILE.to_owned(),
            "something-else".to_owned(),
        ];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_folder_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let first = FolderStore::open(dir.path()).unwrap();
        assert_eq!(FolderStore::open(dir.path()).unwrap().origin(), first.origin());
        let other = tempfile::tempdir().unwrap();
        assert_ne!(FolderStore::open(other.path()).unwrap().origin(), first.origin());
        fs::write(other.path().join(ID_FILE), "../..").unwrap();
        assert_eq!(FolderStore::open(other.path()).unwrap_err().kind(), ErrorKind::Misuse);
    }
}
