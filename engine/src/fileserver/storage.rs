//! The folder on disk: `files/XX/FILEID`, where XX are the first two letters of the id.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::DiskFile;
use super::ids::random_id;

/// The folder of one server. Nothing outside its `files` folder is ever touched.
#[derive(Debug)]
pub(super) struct Storage {
    root: PathBuf,
    /// The whole folder is ours and goes with us.
    temporary: bool,
}

impl Storage {
    /// Opens `dir`, or a new folder in the system's temporary folder.
    pub(super) fn open(dir: Option<PathBuf>) -> io::Result<Self> {
        let temporary = dir.is_none();
        let root = match dir {
            Some(dir) => {
                fs::create_dir_all(&dir)?;
                dir
            }
            None => {
                let dir = std::env::temp_dir().join(format!("natsbridge-files-{}", random_id(16)?));
                create_private_dir(&dir)?;
                dir
            }
        };
        let storage = Self { root, temporary };
        ensure_dir(&storage.files())?;
        Ok(storage)
    }

    fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    fn folder(&self, file_id: &str) -> PathBuf {
        // Ids are 16 ASCII letters and digits of our own making, so two bytes are two letters.
        self.files().join(&file_id[..2])
    }

    /// Where the data of a file is.
    pub(super) fn path(&self, file_id: &str) -> PathBuf {
        self.folder(file_id).join(file_id)
    }

    /// The file for the data to come.
    pub(super) fn create(&self, file_id: &str) -> DiskFile {
        DiskFile::new(self.path(file_id))
    }

    /// Deletes the data of a file; it may never have existed.
    pub(super) fn delete(&self, file_id: &str) {
        if let Err(error) = fs::remove_file(self.path(file_id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("unable to delete a file: {error}");
        }
    }

    /// Deletes what the server put here: everything, or these files and the folders they leave empty.
    pub(super) fn clear<'a>(&self, file_ids: impl Iterator<Item = &'a str>) {
        if self.temporary {
            if let Err(error) = fs::remove_dir_all(&self.root)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("unable to delete {}: {error}", self.root.display());
            }
            return;
        }
        for id in file_ids {
            self.delete(id);
        }
        let folders = fs::read_dir(self.files()).into_iter().flatten().flatten();
        for folder in folders {
            // Fails for a folder that holds somebody else's files, as it should.
            let _ = fs::remove_dir(folder.path());
        }
        let _ = fs::remove_dir(self.files());
    }
}

pub(super) fn ensure_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Other users of the machine have no business in a folder of uploads.
fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(dir)
}
