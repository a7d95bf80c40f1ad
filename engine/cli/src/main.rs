//! The command-line program `natsbridge`: which command runs, and the exit code it ends with.

mod args;
mod compose;
mod connect;
mod digest;
mod doctor;
mod exit;
mod fileserver;
mod folder;
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
mod safe_name;
mod send;
mod signals;
mod table_input;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::exit::{Failure, code};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs::install(cli.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: the runtime cannot start: {error}"));
            return ExitCode::from(code::BUG);
        }
    };
    // A panic is a bug of ours and has been printed by then; what is left is to say so in the exit code.
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(cli))));
    // Not to wait for a thread that still reads standard input.
    runtime.shutdown_background();
    match result {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(failure)) => {
            if let Some(text) = failure.report() {
                output::note(&format!("error: {text}"));
            }
            ExitCode::from(failure.code())
        }
        Err(_) => ExitCode::from(code::BUG),
    }
}

/// The exit code of a command that has said everything itself, or the failure that ended it.
async fn run(cli: Cli) -> Result<u8, Failure> {
    let connection = &cli.connection;
    match cli.command {
        Command::Send(args) => signals::or_interrupted(send::run(connection, &args)).await,
        Command::Receive(args) => signals::or_interrupted(receive::run(connection, &args)).await,
        Command::Request(args) => signals::or_interrupted(request::run(connection, &args)).await,
        Command::Fileserver(args) => fileserver::run(&args).await,
        Command::Inspect(args) => inspect::run(&args),
        Command::Doctor(args) => signals::or_interrupted(doctor::run(connection, &args)).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "natsbridge", &mut script);
            output::write(&script)?;
            Ok(code::OK)
        }
    }
}
