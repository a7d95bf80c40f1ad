//! Reports: one line of JSON a case, from which the others are made.

mod html;
mod junit;
mod text;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub use self::html::html;
pub use self::junit::junit;
pub use self::text::text;
use crate::judge::{Outcome, short};
use crate::run::{Judged, Run};
use crate::schema::{self, REPORT};
use crate::vectors::Level;
use crate::{Failure, Result, repository};

/// One testee's run as it is kept in a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// What ran, over which vectors, and when.
    pub header: Value,
    /// The cases.
    pub lines: Vec<Value>,
    /// The counts; `None` for a run that was cut off.
    pub footer: Option<Value>,
}

/// What a report says about a run besides its cases.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct About {
    /// The testee's command line, or `engine`.
    pub command: String,
    /// The digest of the vectors.
    pub vectors: String,
    /// The options that left cases out.
    pub filter: String,
    /// The runner as it was called.
    pub program: String,
    /// The options that a run of one case needs as well.
    pub options: String,
}

impl About {
    /// What is the same for every run over the same vectors.
    pub fn new(command: impl Into<String>, vectors: impl Into<String>, filter: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            vectors: vectors.into(),
            filter: filter.into(),
            program: "natsbridge-conformance".to_owned(),
            options: String::new(),
        }
    }

    /// Sets how the runner was called, and the options that a run of one case needs as well.
    #[must_use]
    pub fn called(mut self, program: impl Into<String>, options: impl Into<String>) -> Self {
        (self.program, self.options) = (program.into(), options.into());
        self
    }

    /// The command that runs one case again.
    pub fn rerun(&self, id: &str) -> String {
        let Self { program, command, options, .. } = self;
        format!("{} run --testee {}{options} --only {id}", quoted(program), quoted(command))
    }

    /// The header of a report about a testee of this name.
    pub fn header(&self, name: &str, language: &str, version: &str, profile: &str) -> Value {
        let now = SystemTime::now();
        json!({
            "report": 1,
            "runner": env!("CARGO_PKG_VERSION"),
            "commit": commit(),
            "testee": {"name": name, "language": language, "version": version},
            "profile": profile,
            "command": self.command,
            "started": natsbridge::timestamp::format(now.max(UNIX_EPOCH)),
            "vectors": self.vectors,
            "filter": self.filter,
        })
    }
}

impl Report {
    /// The report of a run.
    pub fn of(run: &Run, about: &About) -> Self {
        let testee = &run.testee;
        let lines: Vec<Value> = run.cases.iter().map(|judged| line(judged, about)).collect();
        let mut header = about.header(&testee.name, &testee.language, &testee.version, &testee.profile);
        if run.real_nats {
            header["nats"] = "own and real".into();
        }
        let mut report = Self { header, lines, footer: None };
        report.finish(run.failures.clone(), run.took.as_secs_f64());
        report
    }

    /// A report of lines that were made elsewhere.
    pub fn from_lines(header: Value, lines: Vec<Value>, failures: Vec<String>, seconds: f64) -> Self {
        let mut report = Self { header, lines, footer: None };
        report.finish(failures, seconds);
        report
    }

    fn finish(&mut self, failures: Vec<String>, seconds: f64) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for line in &self.lines {
            *counts.entry(outcome(line).as_str()).or_default() += 1;
        }
        let ok = failures.is_empty() && !self.lines.iter().any(fails);
        self.footer = Some(
            json!({"complete": true, "counts": counts, "failures": failures, "ok": ok, "seconds": seconds}),
        );
    }

    /// The testee's name.
    pub fn name(&self) -> &str {
        self.header["testee"]["name"].as_str().unwrap_or("?")
    }

    /// Whether nothing failed, and the report is complete.
    pub fn is_ok(&self) -> bool {
        self.footer.as_ref().is_some_and(|footer| footer["ok"] == true)
    }

    /// What fails the run besides its cases.
    pub fn failures(&self) -> Vec<String> {
        let Some(footer) = &self.footer else {
            return vec!["the report is incomplete: the run was cut off".to_owned()];
        };
        let failures = footer["failures"].as_array().into_iter().flatten();
        failures.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// How many lines of an area (or of all) have an outcome.
    pub fn count(&self, area: Option<&str>, wanted: Outcome) -> usize {
        let lines = self.lines.iter().filter(|line| area.is_none_or(|area| line["area"] == area));
        lines.filter(|line| outcome(line) == wanted).count()
    }

    /// The file `report.jsonl`.
    pub fn to_jsonl(&self) -> String {
        let mut text = String::new();
        for line in [&self.header].into_iter().chain(&self.lines).chain(&self.footer) {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// If a line is not valid, or there is none.
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |what: String| Failure::new(format!("{}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let mut lines = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let value: Value =
                serde_json::from_str(line).map_err(|error| wrong(format!("line {}: {error}", at + 1)))?;
            schema::check(REPORT, "", &value).map_err(|what| wrong(format!("line {}: {what}", at + 1)))?;
            lines.push(value);
        }
        let footer = lines.pop_if(|line| line.get("complete").is_some());
        if lines.is_empty() || lines[0].get("report").is_none() {
            return Err(wrong("it has no header".to_owned()));
        }
        let header = lines.remove(0);
        Ok(Self { header, lines, footer })
    }
}

/// The outcome in a line.
pub fn outcome(line: &Value) -> Outcome {
    line["outcome"].as_str().and_then(Outcome::from_name).unwrap_or(Outcome::Error)
}

/// How many cases of an area (or of all) passed without being cut as they ask for.
pub fn in_one_piece(report: &Report, area: Option<&str>) -> usize {
    let lines = report.lines.iter().filter(|line| area.is_none_or(|area| line["area"] == area));
    lines.filter(|line| line["note"] == "in one piece only").count()
}

/// Whether a line fails its run.
pub fn fails(line: &Value) -> bool {
    let outcome = outcome(line);
    outcome == Outcome::Stale || outcome.is_failure() && line["level"] != Level::May.as_str()
}

fn line(judged: &Judged, about: &About) -> Value {
    let Judged { case, verdict, note, split, took, .. } = judged;
    let mut line = json!({
        "id": case.id,
        "area": case.area,
        "op": case.op,
        "level": case.level.as_str(),
        "clause": case.clause,
        "outcome": verdict.outcome.as_str(),
        "comment": case.comment,
        "ms": (took.as_secs_f64() * 10_000.0).round() / 10.0,
    });
    let texts = [("got", &verdict.got), ("expected", &verdict.expected), ("note", note), ("split", split)];
    for (name, text) in texts {
        if !text.is_empty() {
            line[name] = text.as_str().into();
        }
    }
    if verdict.outcome.is_failure() {
        if verdict.got.is_empty() {
            line["got"] = verdict.brief.as_str().into();
        }
        let mut asked = json!({"op": case.op, "in": case.input()});
        if let Some(limits) = case.test.get("limits") {
            asked["limits"] = limits.clone();
        }
        line["asked"] = short(&asked).into();
        line["rerun"] = about.rerun(&case.id).into();
    }
    line
}

/// Text as one word of a shell's command line.
pub fn quoted(text: &str) -> String {
    if text.contains(|c: char| c.is_whitespace() || "'\"$&|;<>()*?#\\".contains(c)) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        text.to_owned()
    }
}

/// The commit that the runner stands at, where that can be told.
fn commit() -> String {
    let run = |args: &[&str]| {
        let output =
            std::process::Command::new("git").arg("-C").arg(repository()).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    run(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default()
}

/// Reads all reports in a folder and checks that they are about the same vectors.
///
/// # Errors
/// If there is none, one cannot be read, or two are about different vectors.
pub fn load_all(folder: &Path) -> Result<Vec<Report>> {
    let wrong = |what: String| Failure::new(format!("{}: {what}", folder.display()));
    let reports = read_all(folder)?;
    let Some(first) = reports.first() else { return Err(wrong("no report".to_owned())) };
    for other in &reports {
        if other.header["vectors"] != first.header["vectors"] {
            return Err(wrong(format!(
                "{} and {} are about different vectors: run both again",
                first.name(),
                other.name()
            )));
        }
    }
    Ok(reports)
}

fn read_all(folder: &Path) -> Result<Vec<Report>> {
    let wrong = |what: String| Failure::new(format!("{}: {what}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(|error| wrong(error.to_string()))?;
    let mut paths: Vec<_> = entries.filter_map(std::result::Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    paths.iter().map(|path| Report::load(path)).collect()
}

/// Writes a run's own files, then the page of all that are in the folder.
///
/// # Errors
/// If a file cannot be written.
pub fn save(report: &Report, folder: &Path) -> Result<std::path::PathBuf> {
    let wrong = |what: std::io::Error| Failure::new(format!("{}: {what}", folder.display()));
    std::fs::create_dir_all(folder).map_err(wrong)?;
    let name = report.name();
    std::fs::write(folder.join(format!("{name}.jsonl")), report.to_jsonl()).map_err(wrong)?;
    std::fs::write(folder.join(format!("{name}.junit.xml")), junit(report)).map_err(wrong)?;
    let page = folder.join("index.html");
    // A report over other vectors must not stand beside this one. It is kept: whoever merges all of them is told.
    let mut reports = read_all(folder)?;
    reports.retain(|other| other.header["vectors"] == report.header["vectors"]);
    std::fs::write(&page, html(&reports)).map_err(wrong)?;
    Ok(page)
}
