//! The folder that received payloads are saved into: nothing overwritten, nothing partial left behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::exit::Failure;
use crate::safe_name::numbered;

/// How many files of one name a folder may hold.
const MAX_NUMBER: u32 = 10_000;

/// `--output DIR`.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Opens the folder, creating it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path).map_err(|error| {
            Failure::output(format!("cannot create the folder {}", path.display()), error)
        })?;
        Ok(Self(path.to_owned()))
    }

    /// Saves bytes under a [safe](crate::safe_name::safe_name) name, or that name with a number.
    ///
    /// They are written under a temporary name first, so that a file under its own name is complete. A link that
    /// stands in the way is treated like any other file of that name: left alone.
    pub(crate) fn save(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let failed = |error| Failure::output(format!("cannot save a payload in {}", self.0.display()), error);
        let temporary = self.write_temporary(bytes).map_err(failed)?;
        for number in 1..=MAX_NUMBER {
            let path = self.0.join(numbered(name, number));
            match publish(&temporary.0, &path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of that name")))
    }

    fn write_temporary(&self, bytes: &[u8]) -> io::Result<Temporary> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = self.0.join(format!(".natsbridge-{}-{number}.part", std::process::id()));
            match create(&path) {
                Ok(mut file) => {
                    let temporary = Temporary(path);
                    file.write_all(bytes)?;
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
