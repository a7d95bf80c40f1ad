//! The fault matrix and the proofs of the link path: what becomes of a transfer when something breaks.
//!
//! ```text
//! cargo test -p natsbridge --all-features --test faults                    quick: a third of the cells, small proofs
//! cargo test -p natsbridge --all-features --test faults -- --full [WORD]   all of it, or what has WORD in its name
//! cargo test -p natsbridge --all-features --test faults -- --long          the proofs that take minutes
//! ```
//!
//! With an option, a WORD that nothing has in its name ends it with 2.
//!
//! No test harness: leaks of file descriptors show only in a process that does nothing else. It needs a nats-server, as the
//! bridge's tests do.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![allow(clippy::print_stdout, reason = "the report is what it is for")]

mod capture;
mod child;
mod engine;
mod matrix;
#[path = "../bridge/nats.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod nats;
mod proofs;
mod proxy;
mod server;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use matrix::Cell;

/// How much is tried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Quick,
    Full,
    Long,
}

/// What cells need from outside.
pub(crate) struct Context {
    pub(crate) nats: String,
    pub(crate) servers: tokio::runtime::Runtime,
    /// A part of the links of a proof, which nobody may log.
    pub(crate) secret: String,
}

impl Context {
    fn new(nats: &str) -> Self {
        let servers =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { nats: nats.to_owned(), servers, secret: hex(&noise(16)) }
    }
}

/// What became of a cell.
pub(crate) struct Report {
    name: String,
    pub(crate) outcome: String,
    /// Why it is not as expected.
    pub(crate) wrong: Option<String>,
    pub(crate) leaked: Option<String>,
    pub(crate) hung: bool,
    pub(crate) time: Duration,
    /// What nobody may have logged.
    pub(crate) secrets: Vec<String>,
}

impl Report {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            outcome: "-".to_owned(),
            wrong: None,
            leaked: None,
            hung: false,
            time: Duration::ZERO,
            secrets: Vec::new(),
        }
    }

    fn print(&self) {
        let mut line = format!("{:<52} {:<18} {:>5} ms", self.name, self.outcome, self.time.as_millis());
        for (what, text) in [("NOT AS EXPECTED", &self.wrong), ("LEAKED", &self.leaked)] {
            if let Some(text) = text {
                line += &format!("  {what}: {text}");
            }
        }
        if self.hung {
            line += "  HUNG";
        }
        println!("{line}");
    }

    fn is_good(&self) -> bool {
        self.wrong.is_none() && self.leaked.is_none() && !self.hung
    }
}

/// What the arguments ask for.
#[derive(Default)]
struct Wanted {
    extent: Option<Extent>,
    words: Vec<String>,
}

impl Wanted {
    /// `None` where nothing is to be run.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut wanted = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => wanted.extent = Some(Extent::Quick),
                "--full" => wanted.extent = Some(Extent::Full),
                "--long" => wanted.extent = Some(Extent::Long),
                // What `cargo test` hands on to every test program, for the harness that most have.
                "--list" => return Ok(None),
                "--test-threads" | "--skip" | "--color" | "--format" | "--logfile" | "-Z" => {
                    arguments.next();
                }
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" | "--exact"
                | "--ignored" | "--include-ignored" | "--report-time" | "--shuffle" => {}
                other => match other.split_once('=') {
                    Some(("--test-threads" | "--skip" | "--color" | "--format" | "--logfile", _)) => {}
                    _ if other.starts_with('-') => return Err(format!("{other} is no option")),
                    _ => wanted.words.push(argument),
                },
            }
        }
        Ok(Some(wanted))
    }

    fn has(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }
}

/// Nothing was tried out, which must not look like a success.
fn refuse(why: &str) -> ! {
    eprintln!("faults: {why}; usage: [--quick | --full | --long] [WORD]");
    std::process::exit(2);
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|argument| argument == "--child") {
        return child::main(arguments.skip(1).collect());
    }
    let wanted = match Wanted::read(arguments) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => return,
        Err(why) => refuse(&why),
    };
    let extent = wanted.extent.unwrap_or(Extent::Quick);
    let mut proofs = proofs::all(extent);
    proofs.retain(|proof| wanted.has(proof.name));
    let mut cells = match extent {
        Extent::Long => Vec::new(),
        _ => matrix::cells(extent == Extent::Quick),
    };
    cells.retain(|cell| wanted.has(&cell.name));
    if proofs.is_empty() && cells.is_empty() {
        let why = format!("no cell and no proof has {:?} in its name", wanted.words);
        // The name of another program's test is given to this one as well; whoever names an extent means this one.
        if wanted.extent.is_some() {
            refuse(&why);
        }
        println!("faults: {why}");
        return;
    }
    capture::install();
    let nats = nats::NatsServer::start();

    let (count, mut held) = (proofs.len(), 0);
    for proof in proofs {
        let begun = Instant::now();
        let context = Context::new(&nats.url());
        let run = || (proof.run)(&context, extent);
        let outcome = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(outcome) => outcome,
            Err(_) => Err("panicked".to_owned()),
        };
        // What a child says of its failure is in the outcome.
        let said = format!("{}{outcome:?}", capture::take());
        let outcome = match leaked_secret(&said, std::slice::from_ref(&context.secret)) {
            Some(line) => Err(format!("a secret was logged: {line}")),
            None => outcome,
        };
        held += usize::from(outcome.is_ok());
        let text = outcome.unwrap_or_else(|why| format!("FAILED: {why}"));
        println!("proof: {}: {text} ({:.1} s)", proof.name, begun.elapsed().as_secs_f64());
    }
    println!("proofs: {count}, {held} held");
    let mut good = held == count;
    if !cells.is_empty() {
        good &= run_matrix(&nats.url(), &cells);
    }
    drop(nats);
    std::process::exit(i32::from(!good));
}

/// How many cells run at once: they mostly wait.
const PARALLEL: usize = 12;

fn run_matrix(nats: &str, cells: &[Cell]) -> bool {
    let total = cells.len();
    let begun = Instant::now();
    // The first one opens what stays open; the port that refuses is not every cell's.
    let _ = cells[0].run(&Context::new(nats));
    proxy::closed_port();
    capture::take();

    let (mut as_expected, mut hung, mut leaked) = (0, 0, 0);
    let mut secrets = 0;
    let mut found = Vec::new();
    for batch in cells.chunks(PARALLEL * 2) {
        let before = open_files();
        let reports = run_batch(nats, batch);
        let left = Some(open_files()).filter(|&after| after > before && !settles(before));
        for report in &reports {
            report.print();
            as_expected += usize::from(report.is_good());
            hung += usize::from(report.hung);
            leaked += usize::from(report.leaked.is_some());
        }
        if let Some(after) = left {
            let names: Vec<_> = batch.iter().map(|cell| cell.name.as_str()).collect();
            println!("LEAKED: {after} file descriptors instead of {before}, by one of {names:?}");
            leaked += 1;
        }
        let text = capture::take();
        for report in &reports {
            secrets += report.secrets.len();
            if let Some(line) = leaked_secret(&text, &report.secrets) {
                found.push(format!("{}: {line}", report.name));
            }
        }
    }
    for line in &found {
        println!("SECRET: {line}");
    }
    println!(
        "secrets: {secrets} searched for in all logs, errors and debug output ({} spans and events), {} found",
        capture::own_lines(),
        found.len()
    );
    println!("the matrix took {} s", begun.elapsed().as_secs());
    println!("faults: {total} cells, {as_expected} as expected, {hung} hung, {leaked} leaked");
    as_expected == total && hung == 0 && leaked == 0 && found.is_empty() && capture::own_lines() > 0
}

fn run_batch(nats: &str, batch: &[Cell]) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(batch.len()) {
            scope.spawn(|| {
                let context = Context::new(nats);
                while let Some(cell) = batch.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = cell.run(&context);
                    reports.lock().unwrap().push(report);
                }
                context.servers.shutdown_timeout(Duration::from_secs(5));
            });
        }
    });
    reports.into_inner().unwrap()
}

/// The line that a secret is in.
fn leaked_secret(text: &str, secrets: &[String]) -> Option<String> {
    let secret = secrets.iter().find(|secret| secret.len() >= 8 && text.contains(secret.as_str()))?;
    text.lines().find(|line| line.contains(secret.as_str())).map(|line| line.chars().take(300).collect())
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Whether the number of open files goes back within five seconds: runtimes close theirs when they are gone.
fn settles(before: usize) -> bool {
    (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        open_files() <= before
    })
}

/// Bytes without any pattern, different each time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    static SEED: AtomicU64 = AtomicU64::new(0);
    let mut random =
        Random::new(SEED.fetch_add(1, Ordering::Relaxed) ^ (u64::from(std::process::id()) << 32));
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SplitMix64: a seed gives the same numbers each time.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A proof with a name, and what it says when it holds.
pub(crate) struct Proof {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Context, Extent) -> Result<String, String>,
}
