//! Ctrl-C and SIGTERM: a command is dropped where it stands, and its guards clean up.

use std::future::Future;

use crate::exit::Failure;

/// Runs a command unless a signal comes first.
pub(crate) async fn or_interrupted<T>(
    command: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = command => result,
        number = signal() => Err(Failure::Signal(number)),
    }
}

/// The number of the next signal that asks to end.
pub(crate) async fn signal() -> u8 {
    tokio::select! {
        number = interrupt() => number,
        number = terminate() => number,
    }
}

async fn interrupt() -> u8 {
    if tokio::signal::ctrl_c().await.is_err() {
        // No handler, so the default action ends the program.
        std::future::pending::<()>().await;
    }
    2
}

#[cfg(unix)]
async fn terminate() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_) => std::future::pending::<()>().await,
    }
    15
}

#[cfg(not(unix))]
async fn terminate() -> u8 {
    std::future::pending().await
}
