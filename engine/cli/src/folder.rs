//! The folder that received payloads are saved into: nothing overwritten, nothing partial left behind.

use std::fs;
use std::path::{Path, PathBuf};

use natsbridge::bridge::Saved;
use natsbridge::link::Progress;
use natsbridge::{PayloadData, ReceivedPayload};

use crate::exit::Failure;
use crate::safe_name::numbered;

/// `--output DIR`.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the folder, creating it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path).map_err(|error| {
            Failure::output(format!("cannot create the folder {}", path.display()), error)
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Saves a payload under a [safe](crate::safe_name::safe_name) name, or that name with a number: as it is fetched
    /// and without holding it in memory, or what was fetched of it before.
    ///
    /// A file under its own name is complete. A link that stands in the way is treated like any other file of that name:
    /// left alone.
    pub(crate) async fn save(
        &self,
        name: &str,
        payload: &ReceivedPayload<'_>,
        fetched: Option<&PayloadData>,
        progress: Option<Progress>,
    ) -> Result<Saved, Failure> {
        let first = self.free_number(name);
        let (folder, other) = (self.path.clone(), name.to_owned());
        let mut save = payload
            .save(self.path.join(numbered(name, first)))
            .or_else(move |n| folder.join(numbered(&other, first + n)));
        if let Some(data) = fetched {
            save = save.fetched(data);
        }
        if let Some(progress) = progress {
            save = save.progress(progress);
        }
        save.await.map_err(|error| Failure::from(error).into_output())
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_of_one_name_are_no_problem() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("new")).unwrap();
        for number in 1..=2000 {
            assert_eq!(folder.free_number("a.txt"), number);
            fs::write(dir.path().join("new").join(numbered("a.txt", number)), "").unwrap();
        }
        assert_eq!(folder.free_number("b.txt"), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_takes_its_name_whatever_it_points_to() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        std::os::unix::fs::symlink(dir.path().join("nothing"), dir.path().join("a")).unwrap();
        assert_eq!(folder.free_number("a"), 2);
    }
}
