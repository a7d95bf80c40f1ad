//! The record in a file: JSON lines that are appended, `{"announced":"…","at":1767225600}` and `{"settled":"…"}`.
//!
//! The lock is on a file of its own beside it, which is never replaced or removed, so that whoever has the lock has the
//! record, whatever was renamed meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::Collected;
use crate::link::LinkStore;
use crate::{Error, ErrorKind, Result};

/// From how many lines on a record is rewritten, if most of them are struck out.
const COMPACT_FROM: usize = 1024;

pub(super) struct FileRecord(Arc<Shared>);

struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    /// Handles that were there when it was opened.
    left: Mutex<Vec<String>>,
    /// Holds the lock until it is dropped.
    _lock: File,
}

struct State {
    file: File,
    entries: Entries,
    lines: usize,
    /// Whether the last line may have no end.
    torn: bool,
}

impl State {
    fn append(&mut self, line: &Value) -> io::Result<()> {
        let start = if self.torn { "\n" } else { "" };
        self.torn = true;
        self.file.write_all(format!("{start}{line}\n").as_bytes())?;
        self.torn = false;
        self.lines += 1;
        Ok(())
    }
}

/// What is not struck out: handles, and when they were announced, in seconds since 1970.
type Entries = HashMap<String, u64>;

impl FileRecord {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let Some(lock) = lock(&path).map_err(|error| failed(&path, error))? else {
            let place = path.display();
            let what =
                format!("the record {place} belongs to another process; every sender needs one of its own");
            return Err(Error::new(ErrorKind::Misuse, what));
        };
        let (entries, file) = read(&path)
            .and_then(|entries| {
                let file = rewrite(&path, &entries)?;
                Ok((entries, file))
            })
            .map_err(|error| failed(&path, error))?;
        let left = Mutex::new(entries.keys().cloned().collect());
        let lines = entries.len();
        let state = Mutex::new(State { file, entries, lines, torn: false });
        Ok(Self(Arc::new(Shared { path, state, left, _lock: lock })))
    }

    /// The line is on the disk when this returns.
    pub(super) async fn announced(&self, handle: &str) -> Result<()> {
        let (shared, handle) = (Arc::clone(&self.0), handle.to_owned());
        let write = move || {
            let mut state = shared.state();
            let at = now();
            state.append(&json!({ "announced": &handle, "at": at }))?;
            state.file.sync_data()?;
            state.entries.insert(handle, at);
            Ok(())
        };
        self.blocking(write).await
    }

    /// On the disk as well: otherwise a crash of the machine would bring an upload back whose message went out.
    pub(super) async fn settled(&self, handle: &str) -> Result<()> {
        let (shared, handle) = (Arc::clone(&self.0), handle.to_owned());
        let write = move || {
            let mut state = shared.state();
            let Some(at) = state.entries.remove(&handle) else { return Ok(()) };
            let written = state.append(&json!({ "settled": &handle })).and_then(|()| state.file.sync_data());
            if let Err(error) = written {
                // It is not certain, so it stays.
                state.entries.insert(handle, at);
                return Err(error);
            }
            if state.lines >= COMPACT_FROM && state.lines > 4 * state.entries.len() {
                state.file = rewrite(&shared.path, &state.entries)?;
                state.lines = state.entries.len();
            }
            Ok(())
        };
        self.blocking(write).await
    }

    /// Deletes what was there when it was opened. What cannot be deleted stays for the next run.
    pub(super) async fn collect_left(&self, store: &dyn LinkStore) -> Collected {
        let left = std::mem::take(&mut *self.0.left.lock().unwrap_or_else(PoisonError::into_inner));
        let mut collected = Collected::default();
        for handle in left {
            if collected.is_unreachable() {
                break;
            }
            if collected.delete(store, &handle).await
                && let Err(error) = self.settled(&handle).await
            {
                collected.failed.push(error);
            }
        }
        collected
    }

    async fn blocking(&self, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
        let outcome = spawn_blocking(work).await.map_err(|error| {
            Error::new(ErrorKind::Bug, "a task with the record did not finish").with_source(error)
        })?;
        outcome.map_err(|error| failed(&self.0.path, error))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FileRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanupRecord").field("file", &self.0.path).finish_non_exhaustive()
    }
}

/// Deletes what a dead sender's record holds, and rewrites it with what is left.
pub(super) async fn collect(path: PathBuf, store: &dyn LinkStore, grace: Duration) -> Result<Collected> {
    let opened = {
        let path = path.clone();
        spawn_blocking(move || {
            // A misspelled path is no empty record, and gets no lock file.
            fs::metadata(&path)?;
            let lock = lock(&path)?;
            Ok((read(&path)?, lock))
        })
    };
    let task_failed =
        |error| Error::new(ErrorKind::Bug, "a task with the record did not finish").with_source(error);
    let (mut entries, lock) = opened.await.map_err(task_failed)?.map_err(|error| failed(&path, error))?;
    let mut collected = Collected::default();
    let Some(lock) = lock else {
        collected.alive = entries.len();
        return Ok(collected);
    };
    let youngest = now().saturating_sub(grace.as_secs());
    let mut handles: Vec<(u64, String)> = entries.iter().map(|(handle, &at)| (at, handle.clone())).collect();
    handles.sort();
    for (at, handle) in handles {
        if at > youngest {
            collected.young += 1;
        } else if collected.is_unreachable() {
            let what = "not tried, because the file server does not answer";
            let kind = collected.failed.last().map_or(ErrorKind::Network, Error::kind);
            collected.failed.push(Error::new(kind, what));
        } else if collected.delete(store, &handle).await {
            entries.remove(&handle);
        }
    }
    let rewritten = {
        let path = path.clone();
        spawn_blocking(move || {
            let written = rewrite(&path, &entries);
            drop(lock);
            written
        })
    };
    rewritten.await.map_err(task_failed)?.map_err(|error| failed(&path, error))?;
    Ok(collected)
}

/// The lock of a record, or `None` where a living process has it.
fn lock(record: &Path) -> io::Result<Option<File>> {
    let mut path = record.as_os_str().to_owned();
    path.push(".lock");
    let file = private(OpenOptions::new().write(true).create(true).truncate(false)).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What is not struck out. A line that a crash has cut is none.
fn read(path: &Path) -> io::Result<Entries> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entries::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Entries::new();
    let mut lines = 0usize;
    let mut unreadable = 0usize;
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        lines += 1;
        let line: Value = serde_json::from_slice(line).unwrap_or_default();
        match (line["announced"].as_str(), line["settled"].as_str()) {
            (Some(handle), None) => {
                entries.insert(handle.to_owned(), line["at"].as_u64().unwrap_or_default());
            }
            (None, Some(handle)) => {
                entries.remove(handle);
            }
            _ => unreadable += 1,
        }
    }
    // A crash cuts one line. A file of nothing else is somebody's, and must not be written over.
    if unreadable > 0 && unreadable == lines && text.contains(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no record of uploads"));
    }
    if unreadable > 0 {
        tracing::warn!(unreadable, "a record of uploads has lines that cannot be read");
    }
    Ok(entries)
}

/// Replaces the record by one with these entries only: whole or not at all.
fn rewrite(path: &Path, entries: &Entries) -> io::Result<File> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let mut text = String::new();
    for (handle, at) in entries {
        text.push_str(&json!({ "announced": handle, "at": at }).to_string());
        text.push('\n');
    }
    // Whoever has the lock is the only one to write here; what is there was left by a crash.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private(OpenOptions::new().append(true).create_new(true)).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// For this user only.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn failed(path: &Path, error: io::Error) -> Error {
    let what = format!("the record of uploads {} cannot be used", path.display());
    Error::new(ErrorKind::Misuse, what).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(path: &Path) -> Vec<String> {
        let mut handles: Vec<_> = read(path).unwrap().into_keys().collect();
        handles.sort();
        handles
    }

    #[tokio::test]
    async fn what_is_not_struck_out_is_there_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let record = FileRecord::open(path.clone()).unwrap();
        for handle in ["a", "b \"\\\n", "c"] {
            record.announced(handle).await.unwrap();
        }
        record.settled("a").await.unwrap();
        record.settled("never announced").await.unwrap();
        assert_eq!(entries(&path), ["b \"\\\n", "c"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(record);
        // A line that was cut by the crash.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"announced\":\"d").unwrap();
        let record = FileRecord::open(path.clone()).unwrap();
        record.announced("e").await.unwrap();
        assert_eq!(entries(&path), ["b \"\\\n", "c", "e"]);
    }

    #[tokio::test]
    async fn a_record_stays_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let record = FileRecord::open(path.clone()).unwrap();
        record.announced("stays").await.unwrap();
        for number in 0..COMPACT_FROM {
            let handle = number.to_string();
            record.announced(&handle).await.unwrap();
            record.settled(&handle).await.unwrap();
        }
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= COMPACT_FROM, "{lines} lines");
        assert_eq!(entries(&path), ["stays"]);
    }

    #[test]
    fn a_record_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let record = FileRecord::open(path.clone()).unwrap();
        let error = FileRecord::open(path.clone()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        assert!(error.to_string().contains("another process"), "{error}");
        drop(record);
        assert!(FileRecord::open(path).is_ok());
    }

    #[test]
    fn another_file_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        fs::write(&path, "my notes\nare not yours\n").unwrap();
        assert_eq!(FileRecord::open(path.clone()).err().unwrap().kind(), ErrorKind::Misuse);
        assert_eq!(fs::read_to_string(path).unwrap(), "my notes\nare not yours\n");
    }
}
