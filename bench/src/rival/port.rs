//! Codecs in other languages, each in a process of its own that is asked to do so many operations at a time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::input::{Input, Shape, Size};
use crate::measure::icount::which;
use crate::measure::wall::median;

/// A language with a codec script, in `bench/rivals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Language {
    /// Node with JSON and Buffer.
    Node,
    /// CPython with its standard library.
    Python,
}

impl Language {
    /// As rows have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
        }
    }

    fn command(self) -> (&'static str, PathBuf) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals");
        match self {
            Self::Node => ("node", scripts.join("codec.mjs")),
            Self::Python => ("python3", scripts.join("codec.py")),
        }
    }
}

/// A running codec.
#[derive(Debug)]
pub struct Port {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Port {
    /// Starts it.
    ///
    /// # Errors
    /// Why there is none: the language is not installed, mostly.
    pub fn start(language: Language) -> Result<Self, String> {
        let (program, script) = language.command();
        if which(program).is_none() {
            return Err(format!("{program} is not installed"));
        }
        let folder = std::env::temp_dir().join(format!("natsbridge-bench-{}-{program}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let child = Command::new(program).arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{program} does not start: {error}"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(answers)) => {
                Ok(Self { child, requests, answers: BufReader::new(answers), folder })
            }
            _ => Err(format!("{program} has no pipes")),
        }
    }

    /// Gives it an input, and has it write and read the message once.
    ///
    /// # Errors
    /// It does not answer, or not as the engine.
    pub fn load(&mut self, (name, len): Size) -> Result<(), String> {
        let input = Input::new(Shape::Plain, 1, len);
        let message = self.folder.join(format!("{name}.json"));
        let raw = self.folder.join(name);
        std::fs::write(&message, &input.message).map_err(|error| error.to_string())?;
        std::fs::write(&raw, &input.raws[0]).map_err(|error| error.to_string())?;
        let answer = self.ask(&json!({"load": name, "message": message, "raw": raw}))?;
        if answer["right"] == true { Ok(()) } else { Err(format!("{name}: not the engine's answer")) }
    }

    /// Does so many operations on a loaded input; their CPU time as the process itself measures it.
    ///
    /// # Errors
    /// It does not answer.
    pub fn run(&mut self, name: &str, operation: &str, times: u64) -> Result<Duration, String> {
        let answer = self.ask(&json!({"run": name, "op": operation, "times": times}))?;
        answer["ns"]
            .as_f64()
            .map(|ns| Duration::from_nanos(ns as u64))
            .ok_or_else(|| format!("no time: {answer}"))
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        let mut line = String::new();
        writeln!(self.requests, "{request}")
            .and_then(|()| self.requests.flush())
            .and_then(|()| self.answers.read_line(&mut line))
            .map_err(|error| error.to_string())?;
        serde_json::from_str(&line).map_err(|_| format!("no answer to {request}: {line:?}"))
    }
}

/// How many operations fill 20 milliseconds; on the way there the code gets compiled.
///
/// # Errors
/// It does not answer.
pub(crate) fn times_in_turn(port: &mut Port, name: &str, operation: &str) -> Result<u64, String> {
    const TURN: f64 = 20e6;
    let mut times = 1;
    loop {
        let spent = port.run(name, operation, times)?.as_nanos() as f64;
        if spent >= TURN {
            return Ok(((times as f64 * TURN / spent) as u64).max(1));
        }
        times *= 2;
    }
}

/// The median of a few turns, in nanoseconds for one operation.
///
/// # Errors
/// It does not answer, or not as the engine.
pub fn throughput(port: &mut Port, size: Size, operation: &str) -> Result<f64, String> {
    port.load(size)?;
    let times = times_in_turn(port, size.0, operation)?;
    let turn = |_| Ok(port.run(size.0, operation, times)?.as_nanos() as f64 / times as f64);
    Ok(median((0..7).map(turn).collect::<Result<_, String>>()?))
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
