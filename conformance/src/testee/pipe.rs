//! A testee as a child process: one line of JSON each way, every read with a deadline, every line with a bound.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{MAX_LINE, Testee, Trouble};

/// How long a testee may take to end after `stop`.
const END: Duration = Duration::from_secs(5);
/// The most bytes of standard error that are kept: its end is what explains an end.
const KEPT_ERRORS: usize = 8 * 1024;

/// A program that is run by the shell, so that a whole command line can be given.
#[derive(Debug)]
pub struct Pipe {
    command: String,
    folder: Option<PathBuf>,
    running: Option<Running>,
    /// What the process that runs, or the one that has ended, wrote to its standard error.
    errors: Arc<Mutex<Vec<u8>>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    requests: Sender<Vec<u8>>,
    answers: Receiver<Answer>,
    /// An answer that was looked at already.
    ahead: Option<Answer>,
}

#[derive(Debug)]
enum Answer {
    Line(Vec<u8>),
    TooLong,
    End,
}

impl Pipe {
    /// A testee behind a command line.
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), folder: None, running: None, errors: Arc::default() }
    }

    /// Sets the working directory.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    fn running(&mut self) -> Result<&mut Running, Trouble> {
        self.running.as_mut().ok_or_else(|| Trouble::Crash("it does not run".to_owned()))
    }

    fn crashed(&mut self) -> Trouble {
        let status = self.running.as_mut().and_then(|running| wait(&mut running.child, END));
        Trouble::Crash(match status {
            Some(status) => status.to_string(),
            None => "it closed its standard output".to_owned(),
        })
    }
}

impl Testee for Pipe {
    fn launch(&mut self) -> Result<(), Trouble> {
        self.running = None;
        self.errors = Arc::default();
        let mut command = Command::new("/bin/sh");
        // `exec` makes the status that of the program. A list of commands cannot be executed, so it stays with the shell.
        let line = if self.command.contains([';', '&', '|']) { "" } else { "exec " };
        command.arg("-c").arg(format!("{line}{}", self.command)).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let fail = |error: std::io::Error| Trouble::Crash(format!("it does not start: {error}"));
        let mut child = command.spawn().map_err(fail)?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Trouble::Crash("it has no pipes".to_owned()));
        };
        // A testee that does not read must not keep the runner from its deadline, so a thread writes.
        let (requests, lines) = channel::<Vec<u8>>();
        thread::spawn(move || {
            for line in lines {
                if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
                    return; // it has closed its end; what it did instead shows on the other pipe
                }
            }
        });
        let (answers, receiver) = channel();
        thread::spawn(move || read_lines(stdout, &answers));
        let errors = Arc::clone(&self.errors);
        thread::spawn(move || keep_errors(stderr, &errors));
        self.running = Some(Running { child, requests, answers: receiver, ahead: None });
        Ok(())
    }

    fn send(&mut self, request: &Value) -> Result<(), Trouble> {
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        if line.len() > MAX_LINE {
            return Err(Trouble::Protocol("the runner's own request is too long for one line".to_owned()));
        }
        if self.running()?.requests.send(line).is_err() {
            return Err(self.crashed());
        }
        Ok(())
    }

    fn receive(&mut self, within: Duration) -> Result<Value, Trouble> {
        let running = self.running()?;
        let answer = match running.ahead.take() {
            Some(answer) => answer,
            None => match running.answers.recv_timeout(within) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => return Err(Trouble::Timeout(within)),
                Err(RecvTimeoutError::Disconnected) => Answer::End,
            },
        };
        match answer {
            Answer::Line(line) => serde_json::from_slice(&line).map_err(|_| {
                let text = String::from_utf8_lossy(&line);
                Trouble::Protocol(format!("a line that is not JSON: {:.200}", text.trim_end()))
            }),
            Answer::TooLong => Err(Trouble::Protocol(format!("a line of more than {MAX_LINE} bytes"))),
            Answer::End => Err(self.crashed()),
        }
    }

    fn has_more(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        if running.ahead.is_none() {
            running.ahead = running.answers.try_recv().ok();
        }
        matches!(running.ahead, Some(Answer::Line(_) | Answer::TooLong))
    }

    fn stop(&mut self) -> Result<(), Trouble> {
        if self.running.is_none() {
            return Ok(());
        }
        self.send(&json!({"cmd": "stop"}))?;
        let status = self.running.as_mut().and_then(|running| wait(&mut running.child, END));
        let extra = self.has_more();
        self.running = None;
        match status {
            Some(status) if status.success() && !extra => Ok(()),
            Some(status) if status.success() => Err(Trouble::Protocol("it answered stop".to_owned())),
            Some(status) => Err(Trouble::Crash(format!("{status} after stop"))),
            None => Err(Trouble::Timeout(END)),
        }
    }

    fn errors(&mut self) -> String {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&errors).trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The whole group: a testee may be a script that has started the real one.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + within;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}

fn read_lines(stdout: impl Read, answers: &Sender<Answer>) {
    let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
    loop {
        let mut line = Vec::new();
        // One byte more than allowed tells a line that is too long.
        let read = stdout.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line);
        let answer = match read {
            Ok(0) | Err(_) => Answer::End,
            Ok(_) if line.len() > MAX_LINE => Answer::TooLong,
            Ok(_) => Answer::Line(line),
        };
        let last = !matches!(answer, Answer::Line(_));
        if answers.send(answer).is_err() || last {
            return;
        }
    }
}

fn keep_errors(mut stderr: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stderr.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..len]);
        let surplus = kept.len().saturating_sub(KEPT_ERRORS);
        kept.drain(..surplus);
    }
}
