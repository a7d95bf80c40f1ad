//! Lists of known failures: one line a case, `ID  # what  -- reason`. A line that is not true any more fails the run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::{Failure, Result};

/// The failures of one testee that are known and explained.
#[derive(Debug, Clone, Default)]
pub struct Known {
    entries: BTreeMap<String, Entry>,
    /// The file's lines before the first entry.
    heading: String,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The brief of the verdict.
    pub brief: String,
    /// Why it cannot be otherwise, for people.
    pub reason: String,
}

impl Known {
    /// Reads a list. A file that does not exist is an empty list.
    ///
    /// # Errors
    /// For a line that is not of the form, or is there twice.
    pub fn load(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                Self::parse(&text).map_err(|what| Failure::new(format!("{}: {what}", path.display())))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::new(format!("{}: {error}", path.display()))),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut known = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                if known.entries.is_empty() {
                    let _ = writeln!(known.heading, "{line}");
                }
                continue;
            }
            let entry = line.split_once('#').map(|(id, rest)| {
                let (brief, reason) = rest.split_once(" -- ").unwrap_or((rest, ""));
                let entry = Entry { brief: brief.trim().to_owned(), reason: reason.trim().to_owned() };
                (id.trim().to_owned(), entry)
            });
            let Some((id, entry)) = entry.filter(|(id, _)| !id.is_empty()) else {
                return Err(format!("line {}: not of the form `ID  # what  -- reason`", at + 1));
            };
            if known.entries.insert(id.clone(), entry).is_some() {
                return Err(format!("line {}: {id} is there twice", at + 1));
            }
        }
        Ok(known)
    }

    /// What is known of a case.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The cases that are listed.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Makes the list true: takes out what does not fail any more, puts in what fails, and keeps the reasons of what
    /// fails in another way, for a person to look at.
    pub fn fix<'a>(
        &mut self,
        passed: impl IntoIterator<Item = &'a str>,
        failed: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        for id in passed {
            self.entries.remove(id);
        }
        for (id, brief) in failed {
            let reason = self.entries.get(id).map(|entry| entry.reason.clone()).unwrap_or_default();
            self.entries.insert(id.to_owned(), Entry { brief: one_line(brief), reason });
        }
    }

    /// Writes the list.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = self.heading.clone();
        for (id, Entry { brief, reason }) in &self.entries {
            let _ = if reason.is_empty() {
                writeln!(text, "{id}  # {brief}")
            } else {
                writeln!(text, "{id}  # {brief}  -- {reason}")
            };
        }
        std::fs::write(path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    }
}

/// A brief as a line of a list holds it.
pub fn one_line(brief: &str) -> String {
    brief.split_whitespace().collect::<Vec<_>>().join(" ").replace(" -- ", " - ")
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn a_list_goes_there_and_back_and_keeps_reasons() {
        let text =
            "# why\n\nb64-0002  # reject malformed  -- the runtime's own parser\nb64-0001  # skip: no\n";
        let mut known = Known::parse(text).unwrap();
        assert_eq!(known.get("b64-0001").unwrap().reason, "");
        known.fix(["b64-0001"], [("b64-0002", "accept"), ("b64-0003", "differs\n at x")]);
        let dir = tempfile::tempdir().unwrap();
        known.save(&dir.path().join("known.txt")).unwrap();
        let written = std::fs::read_to_string(dir.path().join("known.txt")).unwrap();
        assert_eq!(
            written,
            "# why\n\nb64-0002  # accept  -- the runtime's own parser\nb64-0003  # differs at x\n"
        );
    }

    #[test]
    fn lines_of_another_form_and_lines_twice_are_refused() {
        assert!(Known::parse("b64-0001 because\n").is_err());
        assert!(Known::parse("# x\n  # y -- z\n").is_ok());
        assert!(Known::parse("a-1 # x -- y\na-1 # x -- y\n").is_err());
    }
}
