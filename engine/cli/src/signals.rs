//! Ctrl-C and SIGTERM end the program whatever it is busy with: a command runs on a task of its own, and the main
//! thread does nothing but wait for it and for signals.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::exit::{Failure, code};
use crate::output::note;

/// How long an interrupted command may take to let go of what it holds. One that reads or writes cannot hear of it.
const LETTING_GO: Duration = Duration::from_millis(300);

/// Runs a command unless a signal comes first.
pub(crate) async fn or_interrupted(
    signals: &mut Signals,
    command: impl Future<Output = Result<u8, Failure>> + Send + 'static,
) -> Result<u8, Failure> {
    let mut task = tokio::spawn(command);
    tokio::select! {
        biased;
        number = signals.next() => {
            task.abort();
            // Its guards clean up when it is dropped.
            let _ = tokio::time::timeout(LETTING_GO, task).await;
            Err(Failure::Signal(number))
        }
        ended = &mut task => ended.unwrap_or_else(|error| {
            // A panic is a bug of ours and has been printed by then; what is left is to say so in the exit code.
            if !error.is_panic() {
                note(&format!("error: {error}"));
            }
            Ok(code::BUG)
        }),
    }
}

/// The signals that ask to end, listened for from the start.
#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Has to be called inside the runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The number of the next signal.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            Some(()) = self.interrupt.recv() => 2,
            Some(()) = self.terminate.recv() => 15,
            else => std::future::pending().await,
        }
    }
}

/// Ctrl-C.
#[cfg(windows)]
pub(crate) struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    /// Has to be called inside the runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    /// The number of the next signal.
    pub(crate) async fn next(&mut self) -> u8 {
        match self.0.recv().await {
            Some(()) => 2,
            None => std::future::pending().await,
        }
    }
}
