//! The command-line program `natsbridge`: which command runs, and the exit code it ends with.

mod args;
mod compose;
mod connect;
mod digest;
mod doctor;
mod exit;
mod fileserver;
mod folder;
mod gc;
mod grid;
mod inspect;
mod logs;
mod output;
mod payload_spec;
mod preview;
mod progress;
mod receive;
mod report;
mod request;
mod row_json;
mod safe_name;
mod send;
mod signals;
mod table_input;

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;

use crate::args::{Cli, Command, ConnectionArgs};
use crate::exit::{Failure, code};
use crate::signals::{Signals, or_interrupted};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the end of the program may be put off to delete uploads that nobody will fetch.
const TIDYING_UP: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let cli = args::parse();
    logs::install(cli.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: the runtime cannot start: {error}"));
            return ExitCode::from(code::BUG);
        }
    };
    let result = runtime.block_on(run(cli));
    // Not to wait for a thread that still reads its input, or writes to somebody who does not read.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if let Some(text) = failure.report() {
                output::note(&format!("error: {text}"));
            }
            ExitCode::from(failure.code())
        }
    }
}

/// The exit code of a command that has said everything itself, or the failure that ended it.
async fn run(cli: Cli) -> Result<u8, Failure> {
    let mut signals = Signals::listen()
        .map_err(|error| Failure::input("cannot listen for the signals that end the program", error))?;
    match cli.command {
        // Ends in its own time: it has files to remove.
        Command::Fileserver(args) => fileserver::run(&args, &mut signals).await,
        command => {
            let ended = or_interrupted(&mut signals, dispatch(cli.connection, command)).await;
            tidy_up(&mut signals).await;
            ended
        }
    }
}

/// Waits until the uploads of a message that was not sent are deleted; not for long, and not after another signal.
async fn tidy_up(signals: &mut Signals) {
    tokio::select! {
        biased;
        () = natsbridge::link::cleanups_finished() => {}
        _ = signals.next() => {}
        () = tokio::time::sleep(TIDYING_UP) => {}
    }
}

async fn dispatch(connection: ConnectionArgs, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Send(args) => send::run(&connection, &args).await,
        Command::Receive(args) => receive::run(&connection, &args).await,
        Command::Request(args) => request::run(&connection, &args).await,
        Command::Inspect(args) => inspect::run(&args),
        Command::Doctor(args) => doctor::run(&connection, &args).await,
        Command::Gc(args) => gc::run(&connection, &args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "natsbridge", &mut script);
            output::write(&script)?;
            Ok(code::OK)
        }
        Command::Fileserver(_) => unreachable!("it does not run on a task"),
    }
}
