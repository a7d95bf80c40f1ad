//! What to do with messages that arrive.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use natsbridge::link::Origin;

use super::units::{parse_bytes, parse_duration};

#[derive(Args)]
pub(crate) struct ReceptionArgs {
    /// Save every payload in this folder, under a safe form of its name; nothing there is overwritten. Default:
    /// payloads are shown, not saved.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Print one line of JSON for each message.
    #[arg(long)]
    pub(crate) json: bool,
    /// Fetch links from this place too, such as http://localhost:8080. May be given several times.
    #[arg(long, value_name = "URL", value_parser = parse_origin, help_heading = "Links")]
    pub(crate) allow_origin: Vec<Origin>,
    /// The largest payload to fetch by link, such as 500MB or 4GiB. Default: 1GiB.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, help_heading = "Links")]
    pub(crate) max_download: Option<u64>,
    /// The most time for one payload by link, such as 30s or 1h; while it is fetched no other message is shown.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5m",
        value_parser = parse_duration,
        help_heading = "Links"
    )]
    pub(crate) download_timeout: Duration,
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text).map_err(|error| error.explanation().to_owned())
}
