//! `natsbridge fileserver`.

use std::time::Duration;

use natsbridge::fileserver::FileServer;
use natsbridge::link::LinkUrl;

use crate::args::ServeArgs;
use crate::exit::{Failure, code};
use crate::output;
use crate::signals::Signals;

/// What Plik keeps uploads for, and at most.
const DEFAULT_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

pub(crate) async fn run(args: &ServeArgs, signals: &mut Signals) -> Result<u8, Failure> {
    let mut server = FileServer::builder().listen(args.listen);
    if let Some(dir) = &args.dir {
        server = server.dir(dir);
    }
    if let Some(bytes) = args.max_file_size {
        server = server.max_file_size(bytes);
    }
    if let Some(bytes) = args.max_total_size {
        server = server.max_total_size(bytes);
    }
    if let Some(max) = args.max_ttl {
        server = server.max_ttl(Some(max).filter(|max| !max.is_zero()));
        if !max.is_zero() {
            server = server.default_ttl(max.min(DEFAULT_TTL));
        }
    }
    if let Some(ttl) = args.default_ttl {
        server = server.default_ttl(ttl);
    }
    if let Some(url) = &args.download_domain {
        // User info above all: everybody is told this URL.
        LinkUrl::parse(url)
            .map_err(|error| Failure::Usage(format!("--download-domain: {}", error.explanation())))?;
        server = server.download_domain(url.clone());
    }
    if let Some(token) = &args.token {
        server = server.user_token(token.clone()).anonymous_uploads(false);
    }
    let failed =
        |source| Failure::Server { what: format!("the file server cannot start on {}", args.listen), source };
    let server = server.start().await.map_err(failed)?;
    let url = server.url().to_owned();
    let said = tokio::select! {
        biased;
        _ = signals.next() => None,
        said = tokio::task::spawn_blocking(move || output::line(&url)) => said.ok(),
    };
    // A server whose first line nobody could read is of no use.
    if let Some(Ok(())) = said {
        signals.next().await;
    }
    server.shutdown().await;
    said.unwrap_or(Ok(())).map(|()| code::OK)
}
