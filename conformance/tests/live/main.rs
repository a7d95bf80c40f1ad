//! The engine against the Python and the Node peer over a real nats-server and the embedded file server.
#![allow(clippy::unwrap_used, reason = "a test that unwraps has failed, wherever it does it")]

mod compare;
mod engine_to_peer;
mod items;
mod limits;
mod peer_to_engine;
mod requests;
mod tables;

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use natsbridge::bridge::{BridgeBuilder, Subscription};
use natsbridge::fileserver::FileServer;
use natsbridge::link::Plik;
use natsbridge::{Bridge, Dialect, Message};
use natsbridge_conformance::{NatsServer, Peer, PeerProcess};

/// How long one command of a peer may take. A command takes about a second; machines are slow now and then.
const PEER_TIME: Duration = Duration::from_secs(60);

const DIALECTS: [Dialect; 2] = [Dialect::Camel, Dialect::Snake];

/// A NATS server, a file server and a folder, for one test.
struct World {
    nats: NatsServer,
    files: FileServer,
    dir: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let files = FileServer::builder().start().await.unwrap();
        Self { nats: NatsServer::start().unwrap(), files, dir: tempfile::tempdir().unwrap() }
    }

    fn builder(&self) -> BridgeBuilder {
        Bridge::builder().store(Plik::new(self.files.url()).unwrap())
    }

    async fn bridge(&self) -> Bridge {
        self.builder().connect(self.nats.url()).await.unwrap()
    }

    /// Starts `command` of a peer on a subject, with the file server as its store and the only origin it fetches from.
    fn peer(&self, peer: Peer, command: &str, subject: &str, more: &[&str]) -> PeerProcess {
        let mut args = vec![command, "--server", self.nats.url(), "--subject", subject];
        args.extend(["--fileserver", self.files.url()]);
        args.extend(more);
        peer.spawn(self.path(), PEER_TIME, args).unwrap()
    }

    /// Where the peers save the bytes that they have received.
    fn out(&self) -> String {
        self.path().join("out").to_str().unwrap().to_owned()
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The next message of a subscription, in time.
async fn next(messages: &mut Subscription) -> Message {
    let next = tokio::time::timeout(PEER_TIME, messages.next()).await;
    next.expect("no message in time").expect("the subscription has ended").unwrap()
}

/// What the peers call a dialect.
fn name(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Camel { "camel" } else { "snake" }
}
