//! A run: smoke cases first, then every case that fits, each with a deadline and a verdict; a testee that breaks is
//! started again and loses one case.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::NatsServer;
use crate::bytes::bytes_of;
use crate::judge::{Outcome, Verdict, expected, judge};
use crate::known::{Known, one_line};
use crate::peers::script::{Stage, fits_real_server};
use crate::testee::{Request, Session, Started, Trouble};
use crate::vectors::{Case, Level, Vectors};

/// What to run, and how patiently.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Only these areas; empty: all.
    pub areas: Vec<String>,
    /// Only these cases; empty: all.
    pub only: Vec<String>,
    /// How long one answer may take. Default 10 s; peer cases have three times as long, for their retries.
    pub within: Duration,
    /// Whether peer cases are asked once more with a real NATS server, where the case fits and there is one. Default yes.
    pub real_nats: bool,
    /// How long the testee may take to come up. Default 60 s: a browser has to start.
    pub start_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            areas: Vec::new(),
            only: Vec::new(),
            within: Duration::from_secs(10),
            real_nats: true,
            start_within: Duration::from_secs(60),
        }
    }
}

impl Options {
    /// Whether some cases are left out.
    pub fn is_filtered(&self) -> bool {
        !self.areas.is_empty() || !self.only.is_empty()
    }

    fn wants(&self, case: &Case) -> bool {
        let wanted = |list: &[String], name: &str| list.is_empty() || list.iter().any(|other| other == name);
        wanted(&self.areas, &case.area) && wanted(&self.only, &case.id)
    }
}

/// One case, judged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Judged {
    /// The case.
    pub case: Case,
    /// The verdict.
    pub verdict: Verdict,
    /// What else is to say: the end of standard error, the reason of a known failure, or that nothing was cut.
    pub note: String,
    /// The cut at which it failed.
    pub split: String,
    /// How long it took.
    pub took: Duration,
}

impl Judged {
    /// Whether it fails the run.
    pub fn fails(&self) -> bool {
        self.verdict.outcome.is_failure() && self.case.level != Level::May
            || self.verdict.outcome == Outcome::Stale
    }
}

/// What a run has shown.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Run {
    /// The testee, by its own words.
    pub testee: Started,
    /// The cases in their order.
    pub cases: Vec<Judged>,
    /// What fails the run besides its cases.
    pub failures: Vec<String>,
    /// Whether peer cases were asked with a real NATS server as well.
    pub real_nats: bool,
    /// How long it took.
    pub took: Duration,
}

impl Run {
    /// Whether nothing failed, and something passed.
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty() && !self.cases.iter().any(Judged::fails)
    }

    /// How many cases have an outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cases.iter().filter(|judged| judged.verdict.outcome == outcome).count()
    }
}

/// Why there is no run: the harness is wrong, and every verdict would be about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NotRun {
    /// `crash`, `timeout`, `protocol`, or `smoke`.
    pub outcome: &'static str,
    /// What happened.
    pub what: String,
}

/// So many times in a row an operation may break the testee; then the rest of it is not asked.
const PATIENCE: usize = 3;

/// Runs all cases that fit.
///
/// # Errors
/// If the testee does not come up, or answers the two smoke cases wrongly.
pub fn run(
    session: &mut Session,
    vectors: &Vectors,
    known: &Known,
    options: &Options,
    progress: &mut dyn FnMut(&Judged),
) -> Result<Run, NotRun> {
    let begun = Instant::now();
    let not_run = |session: &mut Session, trouble: &Trouble| {
        let errors = session.errors();
        let said = if errors.is_empty() { String::new() } else { format!("\nits standard error: {errors}") };
        NotRun { outcome: trouble.outcome(), what: format!("{trouble}{said}") }
    };
    let testee = session.start(options.start_within).map_err(|trouble| not_run(session, &trouble))?;
    smoke(session, &testee, options).map_err(|error| match error {
        Ok(trouble) => not_run(session, &trouble),
        Err(what) => NotRun { outcome: "smoke", what },
    })?;

    let mut runner =
        Runner { session, options, broken: BTreeMap::new(), failures: Vec::new(), nats: Real::Unknown };
    let mut cases = Vec::new();
    for case in vectors.cases().filter(|case| options.wants(case) && case.is_for(&testee.profile)) {
        let mut judged = if testee.supports.contains(&case.op) {
            runner.case(case)
        } else {
            let verdict = Verdict::new(Outcome::Unsupported, "not supported");
            Judged {
                case: case.clone(),
                verdict,
                note: String::new(),
                split: String::new(),
                took: Duration::ZERO,
            }
        };
        apply_known(&mut judged, known);
        progress(&judged);
        cases.push(judged);
    }
    let mut failures = std::mem::take(&mut runner.failures);
    let real_nats = matches!(runner.nats, Real::Server(_));
    drop(runner);
    if let Err(trouble) = session.stop() {
        failures.push(format!("stop: {trouble}"));
    }
    failures.extend(pretended(&testee, &cases));
    failures.extend(stale_lines(known, vectors, options, &cases));
    if !cases.iter().any(|judged| judged.verdict.outcome != Outcome::Unsupported) {
        failures.push(nothing_run(vectors, options));
    }
    Ok(Run { testee, cases, failures, real_nats, took: begun.elapsed() })
}

/// One answer that must be `ok` and one that must be `reject`: if either is wrong, it is the harness that is wrong.
fn smoke(session: &mut Session, testee: &Started, options: &Options) -> Result<(), Result<Trouble, String>> {
    let probes =
        [("base64.decode", "data", "QUJD", "Q"), ("envelope.decode", "body", r#"{"payloads":[]}"#, "[]")];
    let probe = probes.into_iter().find(|(op, ..)| testee.supports.iter().any(|name| name == op));
    let Some((op, key, good, bad)) = probe else { return Ok(()) };
    for (text, wanted) in [(good, "ok"), (bad, "reject")] {
        let request = Request::new(op, json!({key: {"text": text}}));
        let reply = session.run(&request, options.within).map_err(Ok)?;
        if reply.get(wanted).is_none() {
            return Err(Err(format!(
                "the smoke case {op} of {text:?} has to end in `{wanted}`, and the testee says {reply:.300}"
            )));
        }
        if wanted == "ok" && op == "base64.decode" && reply["ok"]["data"]["hex"] != "414243" {
            return Err(Err(format!(
                "the smoke case base64.decode of \"QUJD\" is 414243, not {:.300}",
                reply["ok"]
            )));
        }
    }
    Ok(())
}

struct Runner<'a> {
    session: &'a mut Session,
    options: &'a Options,
    /// How many times in a row an operation has broken the testee.
    broken: BTreeMap<String, usize>,
    /// That it cannot be started again, after which nothing is asked.
    failures: Vec<String>,
    nats: Real,
}

/// A real NATS server, started when the first case wants it.
enum Real {
    Unknown,
    None,
    Server(NatsServer),
}

impl Runner<'_> {
    fn case(&mut self, case: &Case) -> Judged {
        let begun = Instant::now();
        let mut judged = Judged {
            case: case.clone(),
            verdict: Verdict::pass(),
            note: String::new(),
            split: String::new(),
            took: Duration::ZERO,
        };
        if !self.failures.is_empty() {
            judged.verdict = Verdict::new(Outcome::Crash, "not asked");
            "the testee cannot be started again".clone_into(&mut judged.note);
            return judged;
        }
        if self.broken.get(&case.op).is_some_and(|times| *times >= PATIENCE) {
            judged.verdict = Verdict::new(Outcome::Crash, "not asked");
            judged.note = format!("{} broke the testee {PATIENCE} times in a row", case.op);
            return judged;
        }
        let mut unsplit_only = false;
        let real = self.real_server(case);
        let whole = [(None, None)].into_iter().chain(real.map(|url| (None, Some(url))));
        let cut = splits(case).into_iter().skip(1).map(|split| (split, None));
        for (split, real) in whole.chain(cut) {
            let label = match (&split, &real) {
                (Some(cuts), _) => label(cuts),
                (None, Some(_)) => "with a real nats-server".to_owned(),
                (None, None) => String::new(),
            };
            match self.once(case, split.clone(), real.as_deref()) {
                Ok(verdict) if verdict.outcome == Outcome::Pass => {
                    self.broken.remove(&case.op);
                }
                // A port that has no streaming interface says so, and has shown what it can in one piece.
                Ok(verdict) if verdict.outcome == Outcome::Skip && split.is_some() => {
                    unsplit_only = true;
                    break;
                }
                Ok(verdict) => {
                    self.broken.remove(&case.op);
                    (judged.verdict, judged.split) = (verdict, label);
                    break;
                }
                Err(trouble) => {
                    *self.broken.entry(case.op.clone()).or_default() += 1;
                    (judged.verdict, judged.split) = (troubled(case, &trouble), label);
                    judged.note = self.session.errors();
                    self.restart();
                    break;
                }
            }
        }
        if unsplit_only {
            "in one piece only".clone_into(&mut judged.note);
        }
        judged.took = begun.elapsed();
        judged
    }

    /// The address of a real NATS server for a case that fits, where there is one.
    fn real_server(&mut self, case: &Case) -> Option<String> {
        if !self.options.real_nats || !fits_real_server(case) {
            return None;
        }
        if let Real::Unknown = self.nats {
            self.nats = NatsServer::start().map_or(Real::None, Real::Server);
        }
        match &self.nats {
            Real::Server(server) => Some(server.url().to_owned()),
            Real::Unknown | Real::None => None,
        }
    }

    fn once(
        &mut self,
        case: &Case,
        split: Option<Vec<usize>>,
        real: Option<&str>,
    ) -> Result<Verdict, Trouble> {
        let stage = match Stage::set(case, real) {
            Ok(stage) => stage,
            Err(what) => return Ok(Verdict::new(Outcome::Error, format!("the runner's own peers: {what}"))),
        };
        let input = stage.filled(case.input());
        let within = if stage.is_empty() { self.options.within } else { self.options.within * 3 };
        let request = Request {
            op: case.op.clone(),
            input,
            limits: case.test.get("limits").cloned(),
            split: split.clone(),
        };
        let seq = self.session.send(&request)?;
        let reply = if matches!(case.op.as_str(), "bridge.receive" | "bridge.respond") {
            match self.session.ready(&case.op, seq, within)? {
                Some(reply) => reply,
                None => {
                    stage.ready();
                    self.session.reply(&case.op, seq, within)?
                }
            }
        } else {
            self.session.reply(&case.op, seq, within)?
        };
        if let Some(cuts) = &split
            && let Some(verdict) = ignored_split(&reply, cuts)
        {
            return Ok(verdict);
        }
        let filled = stage.filled_case(case);
        let verdict = judge(filled.as_ref().unwrap_or(case), &reply);
        if verdict.outcome != Outcome::Pass {
            return Ok(verdict);
        }
        Ok(stage.judge(case, &reply))
    }

    fn restart(&mut self) {
        if let Err(trouble) = self.session.start(self.options.start_within) {
            // Nobody is left to ask.
            self.failures.push(format!("it cannot be started again: {trouble}"));
        }
    }
}

/// A reply to a split input says into how many pieces it went.
fn ignored_split(reply: &Value, cuts: &[usize]) -> Option<Verdict> {
    let pieces = reply["pieces"].as_u64();
    let all = cuts.len() as u64 + 1;
    let taken = match (reply.get("ok"), reply.get("reject")) {
        (Some(_), _) => pieces == Some(all),
        // An error may come before the last piece.
        (_, Some(_)) => pieces.is_some_and(|pieces| (1..=all).contains(&pieces)),
        _ => true,
    };
    let said = pieces.map_or_else(|| "none".to_owned(), |pieces| pieces.to_string());
    (!taken).then(|| {
        Verdict::new(Outcome::Fail, "ignores split")
            .between(format!("pieces: {said}"), format!("pieces: {all}"))
    })
}

fn troubled(case: &Case, trouble: &Trouble) -> Verdict {
    let (outcome, brief) = match trouble {
        Trouble::Crash(status) => (Outcome::Crash, format!("crash: {status}")),
        Trouble::Timeout(_) | Trouble::Mute(_) => (Outcome::Timeout, "timeout".to_owned()),
        Trouble::Protocol(what) => (Outcome::Protocol, format!("protocol: {what:.80}")),
    };
    Verdict::new(outcome, brief).between(trouble.to_string(), expected(case))
}

/// The ways in which a case is asked: whole, and cut as it says.
fn splits(case: &Case) -> Vec<Option<Vec<usize>>> {
    let split = &case.test["split"];
    if let Some(cuts) = split.as_array() {
        let cuts =
            cuts.iter().filter_map(Value::as_u64).filter_map(|cut| usize::try_from(cut).ok()).collect();
        return vec![None, Some(cuts)];
    }
    if split != "each" {
        return vec![None];
    }
    let len = bytes_of(&case.input()["data"]).map_or(0, |bytes| bytes.len());
    let bytewise = (1..len).collect();
    [None, Some(bytewise)].into_iter().chain((0..=len).map(|cut| Some(vec![cut]))).collect()
}

fn label(cuts: &[usize]) -> String {
    match cuts {
        [cut] => format!("cut at {cut}"),
        [] => "1 piece".to_owned(),
        cuts => format!("{} pieces", cuts.len() + 1),
    }
}

/// Why no case was run, for whoever has mistyped an option.
fn nothing_run(vectors: &Vectors, options: &Options) -> String {
    let (count, folder) = (vectors.cases().count(), vectors.folder.display());
    let why = match options.areas.as_slice() {
        [] => "none that the testee supports".to_owned(),
        areas if vectors.cases().any(|case| areas.contains(&case.area)) => {
            format!("none in area {} that the testee supports", areas.join(" or "))
        }
        areas => format!("none of them in area {}", areas.join(" or ")),
    };
    format!("no case was run: {count} cases in {folder}, {why} (--vectors DIR reads others)")
}

/// What is listed as a known failure is one, if it fails as the list says.
fn apply_known(judged: &mut Judged, known: &Known) {
    let Some(entry) = known.get(&judged.case.id) else { return };
    let outcome = judged.verdict.outcome;
    if outcome == Outcome::Pass {
        judged.verdict = Verdict::new(Outcome::Stale, "passes")
            .between("passes", format!("the list of known failures says: {}", entry.brief));
    } else if entry.reason.is_empty() {
        "listed as a known failure, but without a reason".clone_into(&mut judged.note);
    } else if outcome.is_failure() && one_line(&judged.verdict.brief) == entry.brief {
        judged.verdict.outcome = Outcome::Known;
        judged.note.clone_from(&entry.reason);
    } else {
        judged.note = format!("listed as a known failure, but as: {}", entry.brief);
        judged.verdict.outcome = Outcome::Stale;
    }
}

/// Operations that the testee names as its own and then skips without exception.
fn pretended(testee: &Started, cases: &[Judged]) -> Vec<String> {
    let mut pretended = Vec::new();
    for op in &testee.supports {
        let asked: Vec<&Judged> = cases.iter().filter(|judged| judged.case.op == *op).collect();
        let skipped = |judged: &&Judged| {
            judged.verdict.outcome == Outcome::Skip
                || judged.verdict.outcome == Outcome::Known && judged.verdict.brief.starts_with("skip")
        };
        if !asked.is_empty() && asked.iter().all(skipped) {
            pretended.push(format!("it says that it supports {op}, and skips all of it"));
        }
    }
    pretended
}

/// Lines of the list that are about nothing that was run.
fn stale_lines(known: &Known, vectors: &Vectors, options: &Options, cases: &[Judged]) -> Vec<String> {
    let run: BTreeSet<&str> = cases.iter().map(|judged| judged.case.id.as_str()).collect();
    let all: BTreeSet<&str> = vectors.cases().map(|case| case.id.as_str()).collect();
    known
        .ids()
        .filter(|id| !run.contains(id) && (!options.is_filtered() || !all.contains(id)))
        .map(|id| format!("the list of known failures has {id}, which is no case of this run"))
        .collect()
}
