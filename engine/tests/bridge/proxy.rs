//! A TCP proxy in front of a server that spoils some of its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What becomes of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// Ends after this many bytes of the request.
    CutRequest(usize),
    /// The request arrives whole; of the answer, nothing.
    LoseAnswer,
    /// The request arrives up to this byte, and then nothing happens any more.
    Stall(usize),
}

/// Stops when it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// `fate` is asked with the number of the connection, from 0.
    pub(crate) async fn start(target: &str, fate: impl Fn(usize) -> Fate + Send + 'static) -> Self {
        let target = target.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let fate = fate(counter.fetch_add(1, Ordering::SeqCst));
                let target = target.clone();
                open.spawn(async move {
                    // Broken connections are what it is for.
                    let _ = serve(client, &target, fate).await;
                });
            }
        });
        Self { url, connections, task }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, target: &str, fate: Fate) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    let limit = match fate {
        Fate::Pass => {
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
        Fate::LoseAnswer => {
            let (mut from, _to) = client.split();
            let (mut answer, mut on) = server.split();
            let mut first = [0; 1];
            // The first byte of the answer comes when the server has the whole request.
            tokio::select! {
                copied = tokio::io::copy(&mut from, &mut on) => { copied?; }
                read = answer.read(&mut first) => { read?; }
            }
            return Ok(());
        }
        Fate::CutRequest(limit) | Fate::Stall(limit) => limit,
    };
    let mut done = 0;
    let mut piece = vec![0; 65_536];
    while done < limit {
        let count = client.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        server.write_all(&piece[..count]).await?;
        done += count;
    }
    if matches!(fate, Fate::Stall(_)) {
        // Until the client goes away; what it sends meanwhile is lost.
        while client.read(&mut piece).await? > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    Ok(())
}
