//! The runner itself: that it notices what is wrong with a testee, keeps lists of known failures true, writes reports that
//! can be read, and publishes schemas that mean what it checks.
#![allow(clippy::unwrap_used, reason = "a test that unwraps has failed, wherever it does it")]

mod broken;
mod command;
mod minimal;
mod schemas;
mod vectors;

use std::path::PathBuf;
use std::time::Duration;

use natsbridge_conformance::known::Known;
use natsbridge_conformance::run::{NotRun, Options, Run, run};
use natsbridge_conformance::testee::{Pipe, Session};
use natsbridge_conformance::vectors::Vectors;

/// A few vectors that stay as they are.
fn tiny() -> Vectors {
    Vectors::load(&folder("tests/harness/vectors")).unwrap()
}

fn folder(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A Python 3 is what the repository's scripts ask for as well.
fn python(script: &str, arguments: &str) -> String {
    format!("python3 '{}' {arguments}", folder(script).display())
}

fn quick() -> Options {
    let mut options = Options::default();
    options.within = Duration::from_millis(1500);
    options
}

fn run_command(command: String, known: &Known, options: &Options) -> Result<Run, NotRun> {
    run(&mut Session::new(Box::new(Pipe::new(command))), &tiny(), known, options, &mut |_| {})
}
