//! A file that is not there until it is whole: unnamed where the system can, else under a name that a later run sweeps.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the names of files in the making begin and end with.
const PREFIX: &str = ".natsbridge-";
const SUFFIX: &str = ".part";

/// A file in the making; dropped, it is gone. All of it blocks.
#[derive(Debug)]
pub(crate) struct Partial {
    file: Arc<File>,
    /// Its name, as long as it has one that must not stay. Whoever writes it holds a lock on it, which ends with the
    /// process however that ends.
    name: Option<PathBuf>,
    folder: PathBuf,
}

impl Partial {
    /// A new empty file in the folder.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        if let Some(file) = unnamed(folder) {
            // For the moment between getting a name and getting the right one.
            let _ = file.try_lock();
            return Ok(Self { file: Arc::new(file), name: None, folder: folder.to_owned() });
        }
        Self::create_named(folder)
    }

    fn create_named(folder: &Path) -> io::Result<Self> {
        loop {
            let name = next_name(folder);
            let file = match OpenOptions::new().write(true).create_new(true).open(&name) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let partial = Self { file: Arc::new(file), name: Some(name), folder: folder.to_owned() };
            // Where there are no locks no sweep takes the file, for want of one.
            let swept = matches!(partial.file.try_lock(), Err(TryLockError::WouldBlock));
            if !swept && partial.is_linked()? {
                return Ok(partial);
            }
            // A sweep was faster than the lock: once more, under another name.
        }
    }

    /// Whether the file still has its name.
    fn is_linked(&self) -> io::Result<bool> {
        #[cfg(unix)]
        return Ok(std::os::unix::fs::MetadataExt::nlink(&self.file.metadata()?) > 0);
        #[cfg(not(unix))]
        return Ok(self.name.as_ref().is_none_or(|name| name.exists()));
    }

    /// The file, to be written.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Makes everything in it durable and gives it its name: all at once, in place of what had that name before, or, with
    /// `keep`, only if nothing has. Where that fails it may be given another.
    ///
    /// A link at `target` is replaced, or in the way, itself; what it points to is left alone.
    pub(crate) fn publish(&mut self, target: &Path, keep: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if keep {
            self.link(target)?
        } else {
            self.replace(target)?
        }
        sync_folder(&self.folder)
    }

    /// Takes the name, unless something has it.
    fn link(&mut self, target: &Path) -> io::Result<()> {
        let Some(name) = &self.name else { return name_unnamed(&self.file, target) };
        match fs::hard_link(name, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // The temporary name goes when this is dropped.
            Ok(()) => Ok(()),
            Err(_) => {
                // No hard links here: reserve the name, then put the file in its place.
                OpenOptions::new().write(true).create_new(true).open(target)?;
                fs::rename(name, target).inspect_err(|_| {
                    let _ = fs::remove_file(target);
                })?;
                self.name = None;
                Ok(())
            }
        }
    }

    /// Takes the name from whatever has it.
    fn replace(&mut self, target: &Path) -> io::Result<()> {
        let name = match &self.name {
            Some(name) => name.clone(),
            // Only a file with a name can take another's.
            None => loop {
                let name = next_name(&self.folder);
                match name_unnamed(&self.file, &name) {
                    Ok(()) => break name,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            },
        };
        self.name = Some(name.clone());
        fs::rename(&name, target)?;
        self.name = None;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::remove_file(name);
        }
    }
}

/// Removes what processes that ended in the middle have left in a folder, and nothing that is still being written.
///
/// Saving does this by itself, once for each folder in a process. Returns how many files were removed; what cannot be
/// looked at or removed stays.
///
/// # Errors
/// Those of reading the folder.
pub fn sweep(folder: impl AsRef<Path>) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
        // A lock that can be had is nobody's: its owner is dead. The name goes before the lock does.
        if file.try_lock().is_ok() && fs::remove_file(&path).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Sweeps a folder unless this process has done so.
pub(crate) fn sweep_once(folder: &Path) {
    static SWEPT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    /// Beyond it folders are swept again; a program with so many hardly returns to one.
    const MAX_FOLDERS: usize = 1000;

    let known = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    {
        let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let swept = swept.get_or_insert_default();
        if swept.len() >= MAX_FOLDERS {
            swept.clear();
        }
        if !swept.insert(known) {
            return;
        }
    }
    match sweep(folder) {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "removed files that an earlier run left unfinished"),
        // Whoever cannot list a folder may still write into it.
        Err(error) => tracing::debug!(%error, "cannot look for unfinished files"),
    }
}

/// A name that probably nobody has.
fn next_name(folder: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()))
}

/// A file that has no name yet, which the system forgets with the process; `None` where it cannot.
#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    // What `File::create` gives, less what the process masks.
    let mode = Mode::from_raw_mode(0o666);
    let file =
        File::from(openat(CWD, folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode).ok()?);
    // Without this file system there is no way to give it a name.
    fs::symlink_metadata(by_descriptor(&file)).ok()?;
    Some(file)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path) -> Option<File> {
    None
}

/// Gives a file without a name one that nothing has.
#[cfg(target_os = "linux")]
fn name_unnamed(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, by_descriptor(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn name_unnamed(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn by_descriptor(file: &File) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Makes a name as durable as what it names.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return sync_opened(File::open(folder));
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(())
    }
}

#[cfg(unix)]
fn sync_opened(folder: io::Result<File>) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match folder.and_then(|folder| folder.sync_all()) {
        // Some network file systems cannot, and whoever may write into a folder may still not be allowed to read it. The
        // file is in place all the same.
        Err(error) if matches!(error.kind(), InvalidInput | Unsupported | PermissionDenied) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// One of each kind, with the same bytes in it.
    fn both(folder: &Path, bytes: &[u8]) -> Vec<Partial> {
        let partials = vec![Partial::create(folder).unwrap(), Partial::create_named(folder).unwrap()];
        for partial in &partials {
            (&**partial.file()).write_all(bytes).unwrap();
        }
        partials
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_unfinished_file_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let _partial = Partial::create(dir.path()).unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_finished_file_replaces_another_or_leaves_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        for (number, mut partial) in both(dir.path(), b"new").into_iter().enumerate() {
            fs::write(&target, "old").unwrap();
            partial.publish(&target, false).unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), "new", "{number}");
        }
        for mut partial in both(dir.path(), b"newer") {
            let error = partial.publish(&target, true).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        for (number, mut partial) in both(dir.path(), b"newest").into_iter().enumerate() {
            partial.publish(&dir.path().join(number.to_string()), true).unwrap();
        }
        assert_eq!(names(dir.path()), ["0", "1", "a"]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(fs::read_to_string(dir.path().join("1")).unwrap(), "newest");
    }

    #[test]
    fn what_cannot_get_its_name_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("taken")).unwrap();
        for keep in [false, true] {
            for mut partial in both(dir.path(), b"x") {
                partial.publish(&dir.path().join("taken"), keep).unwrap_err();
            }
            for mut partial in both(dir.path(), b"x") {
                partial.publish(&dir.path().join("no/such/folder"), keep).unwrap_err();
            }
        }
        drop(both(dir.path(), b"x"));
        assert_eq!(names(dir.path()), ["taken"]);
    }

    #[test]
    fn a_sweep_takes_the_dead_and_leaves_the_living() {
        let dir = tempfile::tempdir().unwrap();
        let dead = dir.path().join(".natsbridge-1-0.part");
        fs::write(&dead, "half").unwrap();
        let mine = dir.path().join("report.part");
        fs::write(&mine, "not ours").unwrap();
        let living = both(dir.path(), b"half");
        let name = living[1].name.clone().unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        assert!(!dead.exists() && mine.exists() && name.exists());
        // A process that ends gives its locks back.
        let Partial { file, .. } = &living[1];
        file.unlock().unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        assert!(!name.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_may_be_written_and_not_read_takes_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        // Root may read every folder, so what others are told is said here.
        sync_opened(Err(io::ErrorKind::PermissionDenied.into())).unwrap();
        sync_opened(Err(io::ErrorKind::NotFound.into())).unwrap_err();
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        for keep in [false, true] {
            for mut partial in both(dir.path(), b"new") {
                fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o300)).unwrap();
                partial.publish(&target, keep).unwrap();
                fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
                assert_eq!(fs::read_to_string(&target).unwrap(), "new");
                fs::remove_file(&target).unwrap();
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, link) = (dir.path().join("victim"), dir.path().join("link"));
        fs::write(&victim, "safe").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        for mut partial in both(dir.path(), b"new") {
            assert!(partial.publish(&link, true).is_err());
        }
        for mut partial in both(dir.path(), b"new") {
            partial.publish(&link, false).unwrap();
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
    }
}
