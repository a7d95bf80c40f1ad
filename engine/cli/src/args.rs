//! What the program can be told on its command line.

mod connection;
mod message;
mod reception;
mod serve;
mod units;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use self::connection::ConnectionArgs;
pub(crate) use self::message::{DialectArg, FileServerArgs, MessageArgs, UploadArgs};
pub(crate) use self::reception::ReceptionArgs;
pub(crate) use self::serve::ServeArgs;
use self::units::parse_duration;
use crate::exit::EXIT_CODES;

/// Send and receive NATSBridge messages over NATS: typed payloads in one message, large ones by link.
#[derive(Parser)]
#[command(name = "natsbridge", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Log what happens on standard error; twice for more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Send one message with any number of payloads.
    #[command(after_help = EXIT_CODES)]
    Send(Box<SendArgs>),
    /// Print messages as they come, and save their payloads.
    #[command(after_help = EXIT_CODES)]
    Receive(ReceiveArgs),
    /// Send one message and print the reply to it.
    #[command(after_help = EXIT_CODES)]
    Request(Box<RequestArgs>),
    /// Run a file server that speaks Plik's protocol, for development and tests.
    #[command(after_help = EXIT_CODES)]
    Fileserver(ServeArgs),
    /// Check a message in a file, and show what is in it.
    #[command(after_help = EXIT_CODES)]
    Inspect(InspectArgs),
    /// Check the NATS server and the file server, and show their limits.
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArgs),
    /// Delete what senders that were killed have left on the file server, by the records that they kept.
    #[command(after_help = EXIT_CODES)]
    Gc(GcArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) message: MessageArgs,
    #[command(flatten)]
    pub(crate) fileserver: FileServerArgs,
    #[command(flatten)]
    pub(crate) upload: UploadArgs,
    /// Print the receipt as one line of JSON. The URLs in it open the files: keep them secret.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ReceiveArgs {
    /// The subject to listen on; `*` and `>` are wildcards.
    pub(crate) subject: String,
    /// Stop after this many messages; broken ones count too. Default: go on until interrupted.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Stop when no message has come for this long, such as 500ms, 10s or 5m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Share the messages with the other members of this queue group.
    #[arg(long, value_name = "GROUP")]
    pub(crate) queue: Option<String>,
    #[command(flatten)]
    pub(crate) fileserver: FileServerArgs,
    #[command(flatten)]
    pub(crate) reception: ReceptionArgs,
}

#[derive(Args)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    pub(crate) message: MessageArgs,
    /// How long to wait for the reply, such as 500ms, 10s or 5m.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) fileserver: FileServerArgs,
    #[command(flatten)]
    pub(crate) upload: UploadArgs,
    #[command(flatten)]
    pub(crate) reception: ReceptionArgs,
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The message's bytes; `-` for standard input.
    #[arg(default_value = "-", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Show whole URLs of links. Whoever has one has the file.
    #[arg(long)]
    pub(crate) show_links: bool,
}

#[derive(Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) fileserver: FileServerArgs,
    /// How long each check may take, such as 500ms or 10s.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// The dialect to compute the largest payload for.
    #[arg(long, value_enum, default_value_t = DialectArg::Camel)]
    pub(crate) dialect: DialectArg,
}

#[derive(Args)]
pub(crate) struct GcArgs {
    /// A record of uploads in a file, as --upload-record keeps it. May be given several times. One whose sender lives
    /// is left alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Vec<PathBuf>,
    /// A record of uploads in a NATS key-value bucket.
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    #[command(flatten)]
    pub(crate) fileserver: FileServerArgs,
    /// Leave alone what is younger than this, such as 30s or 5m; in a bucket, the uploads of senders that were heard of
    /// within this time, two minutes at least.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// Print one line of JSON for each record.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads the command line, or ends the program saying why it cannot be read.
pub(crate) fn parse() -> Cli {
    let mut command = without_empty_variables(Cli::command());
    command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|matches| Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command)))
        .unwrap_or_else(|error| without_values(error).exit())
}

/// An environment variable that is there and empty counts as not there.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| match arg.get_env().and_then(std::env::var_os) {
            Some(value) if value.is_empty() => arg.env(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// The error without what was given: a payload, a header or a URL may be a secret, and errors end up in logs.
fn without_values(mut error: clap::Error) -> clap::Error {
    let hidden = || ContextValue::String("…".to_owned());
    // Whatever is wrong with it. An empty one is told as such.
    if matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if !value.is_empty())
    {
        error.insert(ContextKind::InvalidValue, hidden());
    }
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            error.insert(ContextKind::InvalidSubcommand, hidden());
            // Repeats it; the commands that are spelled alike are another kind.
            error.remove(ContextKind::Suggested);
        }
        ErrorKind::UnknownArgument => {
            let named = matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(arg)) if arg.starts_with('-'));
            if !named {
                error.insert(ContextKind::InvalidArg, hidden());
                error.remove(ContextKind::Suggested);
            }
        }
        _ => {}
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn secrets_from_the_environment_are_never_shown() {
        for arg in Cli::command().get_arguments().filter(|arg| arg.get_env().is_some()) {
            assert!(arg.is_hide_env_values_set(), "{}", arg.get_id());
        }
    }
}
