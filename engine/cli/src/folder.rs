//! The folder that received payloads are saved into: nothing overwritten, nothing partial left behind.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use natsbridge::ReceivedPayload;
use natsbridge::bridge::Saved;
use natsbridge::link::Progress;

use crate::exit::Failure;
use crate::output::blocking;
use crate::safe_name::numbered;

/// Of how many names the next number is remembered; beyond it is looked for again.
const MAX_NAMES: usize = 10_000;

/// `--output DIR`.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The number to try next, for names that have been used.
    next: Mutex<HashMap<String, u64>>,
}

impl Folder {
    /// Opens the folder, creating it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path).map_err(|error| {
            Failure::output(format!("cannot create the folder {}", path.display()), error)
        })?;
        Ok(Self { path: path.to_owned(), next: Mutex::default() })
    }

    /// Saves bytes under a [safe](crate::safe_name::safe_name) name, or that name with a number.
    ///
    /// They are written under a temporary name first, so that a file under its own name is complete. A link that
    /// stands in the way is treated like any other file of that name: left alone.
    pub(crate) fn save(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let failed =
            |error| Failure::output(format!("cannot save a payload in {}", self.path.display()), error);
        let temporary = self.write_temporary(bytes).map_err(failed)?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut number = next.get(name).copied().unwrap_or_else(|| self.free_number(name));
        loop {
            let path = self.path.join(numbered(name, number));
            number += 1;
            match publish(&temporary.0, &path) {
                Ok(()) => {
                    if next.len() >= MAX_NAMES {
                        next.clear();
                    }
                    next.insert(name.to_owned(), number);
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Saves a payload under such a name as it is fetched, without holding it in memory.
    pub(crate) async fn save_payload(
        &self,
        name: &str,
        payload: &ReceivedPayload<'_>,
        progress: Progress,
    ) -> natsbridge::Result<Saved> {
        let first = {
            let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            next.get(name).copied().unwrap_or_else(|| self.free_number(name))
        };
        let (folder, other) = (self.path.clone(), name.to_owned());
        let path = |number| self.path.join(numbered(name, number));
        payload
            .save(path(first))
            .or_else(move |n| folder.join(numbered(&other, first + n)))
            .progress(progress)
            .await
    }

    /// A number that is free, found in few steps: among the files of earlier runs there may be very many.
    fn free_number(&self, name: &str) -> u64 {
        let taken = |number| fs::symlink_metadata(self.path.join(numbered(name, number))).is_ok();
        let (mut used, mut free) = (0, 1);
        while taken(free) {
            (used, free) = (free, free * 2);
        }
        while free - used > 1 {
            let middle = used + (free - used) / 2;
            if taken(middle) { used = middle } else { free = middle }
        }
        free
    }

    fn write_temporary(&self, bytes: &[u8]) -> io::Result<Temporary> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = self.path.join(format!(".natsbridge-{}-{number}.part", std::process::id()));
            match create(&path) {
                Ok(mut file) => {
                    let temporary = Temporary(path);
                    blocking(|| file.write_all(bytes))?;
                    return Ok(temporary);
                }
                // Left over from another program of that process id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Removed when dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A new file and nothing else: neither an existing file nor what a link points to.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Gives a complete file its name, unless that is taken.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // No hard links here: reserve the name, then put the file in its place.
            create(path)?;
            fs::rename(temporary, path).inspect_err(|_| {
                let _ = fs::remove_file(path);
            })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_numbered_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("new")).unwrap();
        for text in ["1", "2", "3"] {
            folder.save("a.txt", text.as_bytes()).unwrap();
        }
        let dir = dir.path().join("new");
        assert_eq!(names(&dir), ["a-2.txt", "a-3.txt", "a.txt"]);
        assert_eq!(fs::read_to_string(dir.join("a.txt")).unwrap(), "1");
        assert_eq!(fs::read_to_string(dir.join("a-3.txt")).unwrap(), "3");
    }

    #[test]
    fn many_files_of_one_name_are_no_problem() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        for number in 1..=12_000 {
            assert_eq!(folder.save("a.txt", b"x").unwrap(), dir.path().join(numbered("a.txt", number)));
        }
        // Another run finds its place without trying every number.
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.save("a.txt", b"x").unwrap(), dir.path().join("a-12001.txt"));
    }

    #[test]
    fn the_names_remembered_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        *folder.next.lock().unwrap() = (0..MAX_NAMES).map(|n| (n.to_string(), 1)).collect();
        for expected in ["a", "a-2", "a-3"] {
            assert_eq!(folder.save("a", b"x").unwrap(), dir.path().join(expected));
        }
        assert_eq!(folder.next.lock().unwrap().len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_the_file_system_refuses_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert!(folder.save(&"x".repeat(300), b"x").unwrap_err().is_about_one_file());
        assert!(!folder.save("no/such/folder", b"x").unwrap_err().is_about_one_file());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, inside) = (dir.path().join("victim"), dir.path().join("in"));
        let folder = Folder::open(&inside).unwrap();
        std::os::unix::fs::symlink(&victim, inside.join("a")).unwrap();
        let path = folder.save("a", b"x").unwrap();
        assert_eq!(path, inside.join("a-2"));
        assert!(!victim.exists());
        assert!(fs::symlink_metadata(inside.join("a")).unwrap().is_symlink());
        assert_eq!(names(&inside), ["a", "a-2"]);
    }

    #[test]
    fn a_file_that_cannot_be_saved_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let error = folder.save("no/such/folder", b"x").unwrap_err();
        assert_eq!(error.code(), crate::exit::code::OUTPUT);
        assert!(names(dir.path()).is_empty());
    }
}
