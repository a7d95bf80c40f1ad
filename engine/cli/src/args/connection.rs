//! How to reach the NATS server, under the names that the `nats` tool uses.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
#[command(next_help_heading = "NATS connection")]
pub(crate) struct ConnectionArgs {
    /// The NATS server; several with commas between them.
    #[arg(
        short,
        long,
        global = true,
        env = "NATS_URL",
        hide_env_values = true,
        default_value = "nats://localhost:4222",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// User name; without a password, a token.
    #[arg(long, global = true, env = "NATS_USER", hide_env_values = true)]
    pub(crate) user: Option<String>,
    /// Password. Better in the environment: arguments are visible to other users.
    #[arg(long, global = true, env = "NATS_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// Credentials file (JWT and seed).
    #[arg(long, global = true, env = "NATS_CREDS", hide_env_values = true, value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// File with an NKey seed.
    #[arg(long, global = true, env = "NATS_NKEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) nkey: Option<PathBuf>,
    /// TLS certificate of this client.
    #[arg(long, global = true, env = "NATS_CERT", hide_env_values = true, value_name = "FILE")]
    pub(crate) tlscert: Option<PathBuf>,
    /// TLS key of this client.
    #[arg(long, global = true, env = "NATS_KEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) tlskey: Option<PathBuf>,
    /// TLS certificate authority of the server.
    #[arg(long, global = true, env = "NATS_CA", hide_env_values = true, value_name = "FILE")]
    pub(crate) tlsca: Option<PathBuf>,
    /// Name of this connection in the server's monitoring.
    #[arg(long, global = true, default_value = "natsbridge", value_name = "NAME")]
    pub(crate) connection_name: String,
}
