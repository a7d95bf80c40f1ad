//! The vector files: finding, reading, and taking them apart into cases.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::bytes::hex;
use crate::{Failure, Result, repository, schema};

/// How much a case weighs: that of the clause it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Every port has to.
    Must,
    /// A port that does not has a reason.
    Should,
    /// For information: never fails a run.
    May,
}

impl Level {
    /// All of them, the heaviest first.
    pub const ALL: [Self; 3] = [Self::Must, Self::Should, Self::May];

    /// The word in the files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::May => "may",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One test of a vector file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Case {
    /// Stable, and unique over all files.
    pub id: String,
    /// The file's area.
    pub area: String,
    /// How much it weighs.
    pub level: Level,
    /// The clauses of SPEC.md it rests on.
    pub clause: String,
    /// What it is about.
    pub comment: String,
    /// The operation.
    pub op: String,
    /// The whole test as it stands in the file.
    pub test: Value,
}

impl Case {
    /// What the request says under `in`.
    pub fn input(&self) -> &Value {
        &self.test["in"]
    }

    /// What is expected.
    pub fn expect(&self) -> &Value {
        &self.test["expect"]
    }

    /// Whether a testee of this profile takes part.
    pub fn is_for(&self, profile: &str) -> bool {
        self.test["profiles"].as_array().is_none_or(|profiles| profiles.iter().any(|name| name == profile))
    }
}

/// One vector file.
#[derive(Debug)]
#[non_exhaustive]
pub struct VectorFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its area.
    pub area: String,
    /// Its content.
    pub content: Value,
    /// Its tests.
    pub cases: Vec<Case>,
}

/// All vector files of a folder, and a digest that changes with any of them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Vectors {
    /// Where they are.
    pub folder: PathBuf,
    /// In the order of their areas and names.
    pub files: Vec<VectorFile>,
    /// SHA-256 over names and contents.
    pub digest: String,
}

/// The areas, in the order of reports.
pub const AREAS: [&str; 11] = [
    "decode", "encode", "base64", "types", "tables", "plan", "links", "subjects", "requests", "peer", "live",
];

/// `conformance/vectors` below the working directory where it is there, else where the runner was built.
pub fn default_folder() -> PathBuf {
    let here = PathBuf::from("conformance/vectors");
    if here.is_dir() { here } else { repository().join(here) }
}

impl Vectors {
    /// Reads all vector files below a folder.
    ///
    /// # Errors
    /// If a file cannot be read, is not JSON, or breaks the schema so that its cases cannot be taken out. Whatever else
    /// is wrong with it is for `lint` to say.
    pub fn load(folder: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        collect(folder, &mut paths)
            .map_err(|error| Failure::new(format!("no vectors in {}: {error}", folder.display())))?;
        let place = |path: &Path| {
            let area =
                path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
            (AREAS.iter().position(|known| *known == area), path.to_owned())
        };
        paths.sort_by_key(|path| place(path));
        let mut digest = Sha256::new();
        let mut files = Vec::new();
        for path in paths {
            let text =
                std::fs::read(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            for part in [name.as_bytes(), &text] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part);
            }
            files.push(VectorFile::parse(path, &text)?);
        }
        Ok(Self { folder: folder.to_owned(), files, digest: hex(&digest.finalize()) })
    }

    /// All cases of all files.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.files.iter().flat_map(|file| &file.cases)
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    Ok(())
}

impl VectorFile {
    fn parse(path: PathBuf, text: &[u8]) -> Result<Self> {
        let wrong = |what: String| Failure::new(format!("{}: {what}", path.display()));
        let content: Value = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        schema::check(schema::VECTORS, "", &content).map_err(|what| wrong(located(&content, what)))?;
        let area = content["area"].as_str().unwrap_or_default().to_owned();
        let cases = content["tests"].as_array().into_iter().flatten().map(|test| case(&area, test)).collect();
        Ok(Self { path, area, content, cases })
    }
}

/// A violation's path with the test's id in place of its number.
fn located(content: &Value, what: String) -> String {
    let index = what.strip_prefix("/tests/").and_then(|rest| rest.split(['/', ':']).next());
    let id = index.and_then(|index| content["tests"][index.parse::<usize>().ok()?]["id"].as_str());
    id.map_or_else(|| what.clone(), |id| format!("{id}: {what}"))
}

/// The schema has checked that these are there.
fn case(area: &str, test: &Value) -> Case {
    let text = |key: &str| test[key].as_str().unwrap_or_default().to_owned();
    let level = match test["level"].as_str() {
        Some("should") => Level::Should,
        Some("may") => Level::May,
        _ => Level::Must,
    };
    Case {
        id: text("id"),
        area: area.to_owned(),
        level,
        clause: text("clause"),
        comment: text("comment"),
        op: text("op"),
        test: test.clone(),
    }
}
