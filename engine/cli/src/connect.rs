//! Connecting to NATS with the options that the `nats` tool knows.

use std::fs;
use std::path::Path;

use async_nats::ConnectOptions;
use natsbridge::Bridge;
use natsbridge::bridge::BridgeBuilder;

use crate::args::ConnectionArgs;
use crate::exit::Failure;

/// How many messages may wait to be shown. More would only be memory: whoever is slower than that loses messages anyway.
const WAITING_MESSAGES: usize = 4096;

/// Connects, or says why not.
pub(crate) async fn connect(args: &ConnectionArgs, builder: BridgeBuilder) -> Result<Bridge, Failure> {
    let options = options(args)?;
    // Boxed because it is large, and every command would carry it.
    Ok(Box::pin(builder.nats_options(options).connect(&args.server)).await?)
}

fn options(args: &ConnectionArgs) -> Result<ConnectOptions, Failure> {
    let mut options =
        ConnectOptions::new().name(&args.connection_name).subscription_capacity(WAITING_MESSAGES);
    options = match (&args.user, &args.password) {
        (Some(user), Some(password)) => options.user_and_password(user.clone(), password.clone()),
        (Some(token), None) => options.token(token.clone()),
        (None, Some(_)) => return Err(Failure::Usage("--password needs --user".to_owned())),
        (None, None) => options,
    };
    if let Some(path) = &args.creds {
        let credentials = read(path, "--creds")?;
        options = options
            .credentials(&credentials)
            .map_err(|error| Failure::input("--creds: not a credentials file", error))?;
    }
    if let Some(path) = &args.nkey {
        options = options.nkey(seed(&read(path, "--nkey")?)?);
    }
    options = match (&args.tlscert, &args.tlskey) {
        (Some(cert), Some(key)) => {
            read(cert, "--tlscert")?;
            read(key, "--tlskey")?;
            options.add_client_certificate(cert.clone(), key.clone())
        }
        (None, None) => options,
        _ => return Err(Failure::Usage("--tlscert and --tlskey need each other".to_owned())),
    };
    if let Some(path) = &args.tlsca {
        read(path, "--tlsca")?;
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    Ok(options)
}

/// Reads a file early: later its absence would look like a server that does not answer.
fn read(path: &Path, option: &str) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("{option}: cannot read {}", path.display()), error))
}

/// The seed in a file that may hold comments and markers around it.
fn seed(text: &str) -> Result<String, Failure> {
    let seed = text.lines().map(str::trim).find(|line| line.starts_with('S') && line.len() >= 58);
    match seed {
        Some(seed) => Ok(seed.to_owned()),
        None => Err(Failure::Usage("--nkey: the file holds no NKey seed".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_found_among_comments() {
        let seed_text = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        let file = format!(
            "# my key\n-----BEGIN USER NKEY SEED-----\n {seed_text} \n------END USER NKEY SEED------\n"
        );
        assert_eq!(seed(&file).unwrap(), seed_text);
        assert!(seed("nothing here").is_err());
    }
}
