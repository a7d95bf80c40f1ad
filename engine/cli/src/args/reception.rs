//! What to do with messages that arrive.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use natsbridge::link::{Origin, Policy};

use super::units::{parse_bytes, parse_duration};

#[derive(Args)]
pub(crate) struct ReceptionArgs {
    /// Save every payload in this folder, under a safe form of its name; nothing there is overwritten, and each file is
    /// synced to the disk before the next one is taken. Default: payloads are shown, not saved.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Print one line of JSON for each message. Texts, dictionaries and tables up to 64 KiB are in it, 16 MiB as JSON for
    /// all payloads of a message together; "omitted" says why others are not.
    #[arg(long)]
    pub(crate) json: bool,
    /// Fetch links from this place too, such as http://localhost:8080. May be given several times.
    #[arg(long, value_name = "URL", value_parser = parse_origin, help_heading = "Links")]
    pub(crate) allow_origin: Vec<Origin>,
    /// Fetch links from this domain and all hosts below it, at public addresses. May be given several times.
    #[arg(long, value_name = "DOMAIN", value_parser = parse_domain, help_heading = "Links")]
    pub(crate) allow_domain: Vec<String>,
    /// Fetch links from any host at a public address.
    #[arg(long, help_heading = "Links")]
    pub(crate) allow_any: bool,
    /// Let --allow-domain and --allow-any reach private networks and this machine too.
    #[arg(long, help_heading = "Links")]
    pub(crate) allow_private: bool,
    /// The largest payload to fetch by link, such as 500MB or 4GiB. Default: 1GiB, and 16GiB for what goes straight into
    /// a file.
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

impl ReceptionArgs {
    /// What may be fetched beside the file server's own links.
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = self.allow_origin.iter().cloned().fold(Policy::none(), Policy::allow_origin);
        for domain in &self.allow_domain {
            // Checked when it was parsed; one that is wrong allows nothing.
            policy = policy.clone().allow_domain(domain).unwrap_or(policy);
        }
        if self.allow_any {
            policy = policy.allow_any();
        }
        if self.allow_private { policy.allow_private() } else { policy }
    }
}

fn parse_domain(text: &str) -> Result<String, String> {
    let checked = Policy::none().allow_domain(text).map_err(|error| error.explanation().to_owned());
    checked.map(|_| text.to_owned())
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text).map_err(|error| error.explanation().to_owned())
}
