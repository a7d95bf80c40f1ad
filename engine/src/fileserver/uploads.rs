//! The state of the server: uploads, their files, and the rules by which a file goes from missing to
//! deleted.
//!
//! One lock holds it all and is never held across an await, so every change of a file's status is a
//! compare-and-set: of twenty clients that ask for a one-shot file, one finds it `uploaded`.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::answer::Failure;
use super::ids::{Secret, random_id};
use super::storage::Storage;

/// Where a file is in its life. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Declared, no data yet.
    Missing,
    /// Data is arriving.
    Uploading,
    /// Complete; the only status that can be downloaded.
    Uploaded,
    /// Taken by a one-shot download that still runs.
    Removed,
    /// The data is gone.
    Deleted,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Uploading => "uploading",
            Self::Uploaded => "uploaded",
            Self::Removed => "removed",
            Self::Deleted => "deleted",
        }
    }
}

/// What the creator of an upload chose, checked against the server's options.
#[derive(Debug, Clone)]
pub(super) struct UploadParams {
    pub(super) one_shot: bool,
    pub(super) removable: bool,
    pub(super) comments: String,
    /// `login:password` in base64, as the `Authorization` header carries it.
    pub(super) credentials: Option<Secret>,
    /// Zero means for ever.
    pub(super) ttl: Duration,
    /// Created with the user token, which from then on owns it.
    pub(super) owned: bool,
    pub(super) files: Vec<NewFile>,
}

/// A file before the server gives it an id.
#[derive(Debug, Clone, Default)]
pub(super) struct NewFile {
    pub(super) name: Vec<u8>,
    pub(super) media_type: String,
    pub(super) size: i64,
    pub(super) reference: String,
}

#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) token: Secret,
    pub(super) params: UploadParams,
    pub(super) created: SystemTime,
    pub(super) expires: Option<SystemTime>,
    /// `expires` on the clock that expiry goes by.
    deadline: Option<Instant>,
    pub(super) files: Vec<File>,
}

#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) id: String,
    /// Bytes, because names need not be UTF-8.
    pub(super) name: Vec<u8>,
    pub(super) status: Status,
    pub(super) md5: String,
    pub(super) media_type: String,
    /// As declared while missing; the real size once uploaded; 0 after a failed upload.
    pub(super) size: i64,
    pub(super) reference: String,
    pub(super) created: SystemTime,
}

/// Who asks: the credentials of one request, as far as they matter for an upload.
#[derive(Debug, Default)]
pub(super) struct Caller {
    pub(super) upload_token: Option<Vec<u8>>,
    /// The request carries the server's user token.
    pub(super) user: bool,
    pub(super) authorization: Option<Vec<u8>>,
}

/// All uploads, and the folder of their data.
#[derive(Debug)]
pub(super) struct Uploads {
    storage: Storage,
    max_total_size: u64,
    /// Bytes of complete and arriving files; never over `max_total_size`.
    stored: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    uploads: HashMap<String, Upload>,
    /// File id to upload id: a file of another upload is told apart from one that never was.
    owners: HashMap<String, String>,
}

impl Uploads {
    pub(super) fn new(storage: Storage, max_total_size: u64) -> Self {
        Self { storage, max_total_size, stored: AtomicU64::new(0), inner: Mutex::default() }
    }

    /// No code that holds the lock can panic half-way through a change, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an upload with its declared files.
    pub(super) fn create(&self, mut params: UploadParams) -> io::Result<Upload> {
        let created = SystemTime::now();
        let lifetime = Some(params.ttl).filter(|ttl| !ttl.is_zero());
        let declared = std::mem::take(&mut params.files);
        let upload = Upload {
            id: random_id(ID_LEN)?,
            token: Secret::new(random_id(TOKEN_LEN)?),
            params,
            created,
            expires: lifetime.and_then(|ttl| created.checked_add(ttl)),
            deadline: lifetime.and_then(|ttl| Instant::now().checked_add(ttl)),
            files: declared.into_iter().map(File::new).collect::<io::Result<_>>()?,
        };
        let mut inner = self.lock();
        for file in &upload.files {
            inner.owners.insert(file.id.clone(), upload.id.clone());
        }
        inner.uploads.insert(upload.id.clone(), upload.clone());
        Ok(upload)
    }

    /// Runs `act` on an upload that exists, has not expired, and that `caller` may read.
    ///
    /// `act` learns whether the caller is its administrator.
    pub(super) fn with_upload<T>(
        &self,
        id: &str,
        caller: &Caller,
        act: impl FnOnce(&mut Upload, bool) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        open(&mut self.lock().uploads, id, caller).and_then(|(upload, admin)| act(upload, admin))
    }

    /// Runs `act` on a file that the address names rightly; `act` gets its place in the upload.
    pub(super) fn with_file<T>(
        &self,
        address: &Address,
        caller: &Caller,
        act: impl FnOnce(&mut Upload, usize, bool) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let inner = &mut *self.lock();
        let (upload, admin) = open(&mut inner.uploads, &address.upload, caller)?;
        match inner.owners.get(&address.file) {
            None => return Err(Failure::not_found(format!("file {} not found", address.file))),
            Some(owner) if *owner != upload.id => {
                return Err(Failure::internal("file asked for", &"it belongs to another upload"));
            }
            Some(_) => {}
        }
        let Some(at) = upload.files.iter().position(|file| file.id == address.file) else {
            return Err(Failure::not_found(format!("file {} not found", address.file)));
        };
        if upload.files[at].name != address.name {
            return Err(Failure::bad_request("invalid file name"));
        }
        act(upload, at, admin)
    }

    /// Adds a file in status `missing`, unless the upload is full.
    pub(super) fn add_file(
        &self,
        upload_id: &str,
        caller: &Caller,
        new: NewFile,
        max_files: usize,
    ) -> Result<File, Failure> {
        let file = File::new(new).map_err(|error| Failure::internal("unable to create file", &error))?;
        let inner = &mut *self.lock();
        let (upload, _) = open(&mut inner.uploads, upload_id, caller)?;
        if upload.files.len() >= max_files {
            let message = format!("maximum number file per upload reached, limit is {max_files}");
            return Err(Failure::bad_request(message));
        }
        upload.files.push(file.clone());
        inner.owners.insert(file.id.clone(), upload.id.clone());
        Ok(file)
    }

    /// Changes a file under the lock, whoever asks; `None` when it or its upload is gone.
    pub(super) fn update_file<T>(
        &self,
        upload_id: &str,
        file_id: &str,
        act: impl FnOnce(&mut File) -> T,
    ) -> Option<T> {
        let mut inner = self.lock();
        let upload = inner.uploads.get_mut(upload_id)?;
        upload.files.iter_mut().find(|file| file.id == file_id).map(act)
    }

    /// Removes an upload and the data of its files.
    pub(super) fn remove(&self, id: &str) {
        let mut inner = self.lock();
        let removed = inner.uploads.remove(id);
        for file in removed.iter().flat_map(|upload| &upload.files) {
            inner.owners.remove(&file.id);
        }
        drop(inner);
        for mut file in removed.into_iter().flat_map(|upload| upload.files) {
            self.free(file.bury());
        }
    }

    /// Removes a file, whatever its status, and its data.
    pub(super) fn bury_file(&self, upload_id: &str, file_id: &str) {
        let buried = self.update_file(upload_id, file_id, File::bury);
        self.free(buried.flatten());
    }

    fn free(&self, buried: Option<Buried>) {
        if let Some(Buried { id, size }) = buried {
            self.storage.delete(&id);
            self.release(size);
        }
    }

    pub(super) fn path(&self, file_id: &str) -> PathBuf {
        self.storage.path(file_id)
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Takes `len` bytes of the total; `false` when they would exceed it.
    pub(super) fn reserve(&self, len: u64) -> bool {
        let fits = |stored: u64| stored.checked_add(len).filter(|total| *total <= self.max_total_size);
        self.stored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    pub(super) fn release(&self, len: u64) {
        self.stored.fetch_sub(len, Ordering::Relaxed);
    }

    /// Forgets everything and deletes all data. A file that is still arriving finds itself unknown at its
    /// end, and is deleted then.
    pub(super) fn clear(&self) {
        let inner = std::mem::take(&mut *self.lock());
        self.storage.clear(inner.owners.keys().map(String::as_str));
    }

    /// Frees the data of expired uploads; forgets those that expired some time ago, which until then are
    /// reported as expired.
    pub(super) fn reap(&self) {
        let now = Instant::now();
        let mut dead = Vec::new();
        let mut inner = self.lock();
        for upload in inner.uploads.values_mut() {
            if upload.deadline.is_some_and(|deadline| now > deadline) {
                dead.extend(upload.files.iter_mut().map(File::bury));
            }
        }
        let forgotten = |upload: &Upload| upload.deadline.is_some_and(|deadline| now > deadline + REMEMBERED);
        let old: Vec<String> = inner
            .uploads
            .values()
            .filter(|upload| forgotten(upload))
            .map(|upload| upload.id.clone())
            .collect();
        drop(inner);
        for buried in dead {
            self.free(buried);
        }
        for id in old {
            self.remove(&id);
        }
    }
}

/// What the URL of a file says.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) upload: String,
    pub(super) file: String,
    pub(super) name: Vec<u8>,
}

impl File {
    fn new(new: NewFile) -> io::Result<Self> {
        Ok(Self {
            id: random_id(ID_LEN)?,
            name: new.name,
            status: Status::Missing,
            md5: String::new(),
            media_type: new.media_type,
            size: new.size,
            reference: new.reference,
            created: SystemTime::now(),
        })
    }

    /// Makes the file `deleted`, and says what data to free: each file's data exactly once, and not that of
    /// an arriving file, which the request that receives it accounts for and deletes.
    fn bury(&mut self) -> Option<Buried> {
        let status = std::mem::replace(&mut self.status, Status::Deleted);
        matches!(status, Status::Uploaded | Status::Removed)
            .then(|| Buried { id: self.id.clone(), size: self.size.unsigned_abs() })
    }
}

/// A file that is no more, and whose data still is.
#[derive(Debug)]
struct Buried {
    id: String,
    size: u64,
}

fn open<'a>(
    uploads: &'a mut HashMap<String, Upload>,
    id: &str,
    caller: &Caller,
) -> Result<(&'a mut Upload, bool), Failure> {
    let Some(upload) = uploads.get_mut(id) else {
        return Err(Failure::not_found(format!("upload {id} not found")));
    };
    if upload.deadline.is_some_and(|deadline| Instant::now() > deadline) {
        return Err(Failure::not_found(format!("upload {id} has expired")));
    }
    let by_token = caller.upload_token.as_deref().is_some_and(|token| upload.token.matches(token));
    let admin = by_token || (caller.user && upload.params.owned);
    if let Some(credentials) = upload.params.credentials.as_ref().filter(|_| !admin) {
        check_password(credentials, caller.authorization.as_deref()).map_err(|reason| {
            Failure::unauthorized(format!(
                "please provide valid credentials to access this upload : {reason}"
            ))
        })?;
    }
    Ok((upload, admin))
}

fn check_password(credentials: &Secret, authorization: Option<&[u8]>) -> Result<(), &'static str> {
    let header = authorization.filter(|header| !header.is_empty()).ok_or("missing Authorization header")?;
    let mut words = header.split(|byte| *byte == b' ');
    let (Some(scheme), Some(guess), None) = (words.next(), words.next(), words.next()) else {
        return Err("invalid Authorization header");
    };
    if scheme != b"Basic" {
        return Err("invalid http authorization scheme");
    }
    if credentials.matches(guess) { Ok(()) } else { Err("invalid credentials") }
}

const ID_LEN: usize = 16;
const TOKEN_LEN: usize = 32;

/// How long an expired upload is remembered: Plik's cleaner comes by every 5 to 10 minutes.
const REMEMBERED: Duration = Duration::from_secs(600);
