//! How the embedded file server runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::units::{parse_bytes, parse_duration};

#[derive(Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Where to keep files while the server runs. Default: a temporary folder.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// The largest file accepted, such as 500MB. Default: 10GB.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) max_file_size: Option<u64>,
    /// What all files together may take. Default: as much as the disk holds.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) max_total_size: Option<u64>,
    /// The lifetime of uploads that ask for none, such as 24h. Default: 30d, or --max-ttl where that is less.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) default_ttl: Option<Duration>,
    /// The longest lifetime that may be asked for; 0 for any. Default: 30d.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_ttl: Option<Duration>,
    /// The base URL that files are fetched from, where it is not the server's own.
    #[arg(long, value_name = "URL")]
    pub(crate) download_domain: Option<String>,
    /// The one token that uploads may be made with; without it anybody uploads.
    #[arg(long, env = "NATSBRIDGE_FILESERVER_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}
