//! A message to send: payloads, fields, and where large payloads go.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use natsbridge::Dialect;

use super::units::{parse_bytes, parse_ttl};
use crate::payload_spec::PayloadSpec;

#[derive(Args)]
pub(crate) struct MessageArgs {
    /// The subject to publish on.
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) payloads: PayloadArgs,
    /// Which spelling of the keys to write.
    #[arg(long, value_enum, default_value_t = DialectArg::Camel, help_heading = "Message")]
    pub(crate) dialect: DialectArg,
    /// Joins the messages of one exchange. Default: a new UUID.
    #[arg(long, value_name = "ID", help_heading = "Message")]
    pub(crate) correlation_id: Option<String>,
    /// The message's own id. Default: a new UUID.
    #[arg(long, value_name = "ID", help_heading = "Message")]
    pub(crate) msg_id: Option<String>,
    /// What the message is for. Default: chat, or request.
    #[arg(long, help_heading = "Message")]
    pub(crate) purpose: Option<String>,
    /// Default: NATSBridge.
    #[arg(long, value_name = "NAME", help_heading = "Message")]
    pub(crate) sender_name: Option<String>,
    /// Default: a new UUID.
    #[arg(long, value_name = "ID", help_heading = "Message")]
    pub(crate) sender_id: Option<String>,
    /// Default: empty.
    #[arg(long, value_name = "NAME", help_heading = "Message")]
    pub(crate) receiver_name: Option<String>,
    /// Default: empty, which is everybody on the subject.
    #[arg(long, value_name = "ID", help_heading = "Message")]
    pub(crate) receiver_id: Option<String>,
    /// The application's reply subject.
    #[arg(long, value_name = "SUBJECT", help_heading = "Message")]
    pub(crate) reply_to: Option<String>,
    /// The id of the message that this one answers.
    #[arg(long, value_name = "ID", help_heading = "Message")]
    pub(crate) reply_to_msg_id: Option<String>,
    /// Metadata of the message; the value is JSON if it can be read as JSON, else text.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair, help_heading = "Message")]
    pub(crate) metadata: Vec<(String, String)>,
    /// Metadata of one payload: its position counted from 0, or its name, then the same as for --metadata.
    #[arg(long, value_name = "PAYLOAD:KEY=VALUE", help_heading = "Message")]
    pub(crate) payload_metadata: Vec<String>,
    /// A NATS header.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair, help_heading = "Message")]
    pub(crate) header: Vec<(String, String)>,
    /// Bytes from which on a payload travels by link, such as 500000 or 2MB. Default: 1,000,000, or 500,000 in
    /// the snake dialect.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, help_heading = "Links")]
    pub(crate) threshold: Option<u64>,
    /// Everything inside the message, whatever the threshold; fails where that is too large for the NATS server.
    #[arg(long, conflicts_with = "threshold", help_heading = "Links")]
    pub(crate) no_links: bool,
}

/// The payloads in the order of the command line, whichever of the two forms they have.
pub(crate) struct PayloadArgs(pub(crate) Vec<PayloadSpec>);

const SHORT: &str = "payload";
const JSON: &str = "payload_json";

impl Args for PayloadArgs {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                clap::Arg::new(SHORT)
                    .value_name("PAYLOAD")
                    .num_args(0..)
                    .value_parser(PayloadSpec::parse_short)
                    .help("NAME:TYPE=VALUE or NAME:TYPE@PATH; PATH - is standard input")
                    .long_help(
                        "A payload: NAME:TYPE=VALUE, or NAME:TYPE@PATH for a file's content (- for standard input, \
                         once).\nThe name ends at the first :TYPE= or :TYPE@.\n\
                         Types: text; dictionary (JSON); jsontable (a JSON array of rows); table or arrowtable (from \
                         .arrow, .arrows, .ipc, .csv with a header, or .json with rows); image, audio, video, binary \
                         and any other word (bytes).\n\
                         Numbers of a .csv or .json table are never changed: whole numbers above Int64 become UInt64; a \
                         CSV column stays text where a number begins with 0 (007) or +, or has more digits than its \
                         type holds; a JSON number that no type holds is an error.",
                    ),
            )
            .arg(
                clap::Arg::new(JSON)
                    .long("payload")
                    .value_name("JSON")
                    .action(clap::ArgAction::Append)
                    .value_parser(PayloadSpec::parse_json)
                    .help(
                        "A payload as JSON, for names that the short form cannot hold: {\"dataname\":…,\"type\":…} with one \
                         of \"path\", \"text\", \"json\" and \"base64\". It stands where it is given among the others",
                    ),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PayloadArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let positions = |id| matches.indices_of(id).into_iter().flatten();
        let specs = |id| matches.get_many::<PayloadSpec>(id).into_iter().flatten().cloned();
        let mut payloads: Vec<(usize, PayloadSpec)> =
            positions(SHORT).zip(specs(SHORT)).chain(positions(JSON).zip(specs(JSON))).collect();
        payloads.sort_by_key(|(position, _)| *position);
        Ok(Self(payloads.into_iter().map(|(_, spec)| spec).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectArg {
    /// `correlationId`, as in NATSBridge 0.4.
    Camel,
    /// `correlation_id`, as in later releases.
    Snake,
}

impl From<DialectArg> for Dialect {
    fn from(dialect: DialectArg) -> Self {
        match dialect {
            DialectArg::Camel => Self::Camel,
            DialectArg::Snake => Self::Snake,
        }
    }
}

#[derive(Args)]
#[command(next_help_heading = "Links")]
pub(crate) struct FileServerArgs {
    /// The Plik file server for large payloads; links to it may be fetched. Default: none.
    #[arg(long, env = "NATSBRIDGE_FILESERVER", hide_env_values = true, value_name = "URL")]
    fileserver: Option<String>,
    /// Certificate authorities (PEM) that https file servers may have beside the system's.
    #[arg(long, env = "NATSBRIDGE_FILESERVER_CA", hide_env_values = true, value_name = "FILE")]
    pub(crate) fileserver_ca: Option<PathBuf>,
    /// Certificate of this client (PEM) for https file servers that ask for one.
    #[arg(long, env = "NATSBRIDGE_FILESERVER_CERT", hide_env_values = true, value_name = "FILE")]
    #[arg(requires = "fileserver_key")]
    pub(crate) fileserver_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, env = "NATSBRIDGE_FILESERVER_KEY", hide_env_values = true, value_name = "FILE")]
    #[arg(requires = "fileserver_cert")]
    pub(crate) fileserver_key: Option<PathBuf>,
}

impl FileServerArgs {
    /// The URL; an empty one, as an environment may hold, is none.
    pub(crate) fn url(&self) -> Option<&str> {
        self.fileserver.as_deref().filter(|url| !url.is_empty())
    }
}

#[derive(Args)]
#[command(next_help_heading = "Links")]
pub(crate) struct UploadArgs {
    /// Uploads that the first download deletes, even one that breaks off.
    #[arg(long, conflicts_with = "ttl")]
    pub(crate) one_shot: bool,
    /// How long uploads are kept, such as 30m, 12h or 7d. Default: 24h.
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Option<Duration>,
    /// Upload as the owner of this Plik token.
    #[arg(long, env = "PLIK_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) plik_token: Option<String>,
    /// Write uploads down in this file before their bytes go out, so that `gc` can delete what is left if this program
    /// is killed. One file for each program that runs at the same time.
    #[arg(long, value_name = "FILE", help_heading = "Links")]
    pub(crate) upload_record: Option<PathBuf>,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("there is no = between name and value".to_owned()),
    }
}
