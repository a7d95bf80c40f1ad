//! A plain HTTP file server in memory, small enough to be read, and places that swallow or make up bytes.
//!
//! `PUT`, `GET`, `HEAD` and `DELETE` of `/files/…`; `PUT` below `/discard/` counts and forgets, `GET /make/LEN/…` makes bytes.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What is stored, shared by servers that follow each other at one address.
#[derive(Default)]
pub(crate) struct Files {
    files: Mutex<HashMap<String, Bytes>>,
    /// Path and length of what was swallowed.
    discarded: Mutex<HashMap<String, u64>>,
}

impl Files {
    pub(crate) fn insert(&self, path: &str, bytes: Bytes) {
        self.files.lock().unwrap().insert(path.to_owned(), bytes);
    }

    pub(crate) fn count(&self) -> usize {
        self.files.lock().unwrap().len()
    }

    pub(crate) fn discarded(&self) -> u64 {
        self.discarded.lock().unwrap().values().sum()
    }
}

/// Stops when it is dropped.
pub(crate) struct PlainServer {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PlainServer {
    pub(crate) async fn start(files: &Arc<Files>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), files).await
    }

    pub(crate) async fn start_at(addr: SocketAddr, files: &Arc<Files>) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let files = Arc::clone(files);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    Some(_) = connections.join_next() => continue,
                };
                let files = Arc::clone(&files);
                connections.spawn(async move {
                    // A client that goes away is the client's business.
                    let _ = serve(stream, &files).await;
                });
            }
        });
        Self { addr, task }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// One request, one answer, and the end.
async fn serve(stream: TcpStream, files: &Files) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(256 * 1024, stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let (mut length, mut chunked) = (None, false);
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header).await? == 0 {
            return Ok(());
        }
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        match header.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse::<u64>().ok(),
            Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
            _ => {}
        }
    }
    let mut body = Incoming { stream, remaining: length.unwrap_or(0), chunked };
    let (status, answer, len) = match method.as_str() {
        "PUT" if path.starts_with("/discard/") => {
            let mut count = 0;
            while let Some(piece) = body.next().await? {
                count += piece as u64;
                body.consumed(piece);
            }
            files.discarded.lock().unwrap().insert(path, count);
            ("201 Created", Bytes::from_static(b"swallowed"), None)
        }
        "PUT" if path.starts_with("/files/") => {
            let mut bytes = Vec::new();
            while let Some(len) = body.next().await? {
                bytes.extend_from_slice(&body.stream.buffer()[..len]);
                body.consumed(len);
            }
            files.insert(&path, bytes.into());
            ("201 Created", Bytes::from_static(b"stored: thank you very much"), None)
        }
        "GET" if path.starts_with("/make/") => return make(&mut body.stream, &path).await,
        "GET" | "HEAD" => {
            let swallowed = files.discarded.lock().unwrap().get(&path).copied();
            let found = files.files.lock().unwrap().get(&path).cloned();
            match (swallowed, found) {
                (Some(len), _) => ("200 OK", Bytes::new(), Some(len)),
                (_, Some(bytes)) => ("200 OK", bytes, None),
                _ => ("404 Not Found", Bytes::from_static(b"no such file"), None),
            }
        }
        "DELETE" => {
            files.files.lock().unwrap().remove(&path);
            ("200 OK", Bytes::from_static(b"deleted"), None)
        }
        _ => ("405 Method Not Allowed", Bytes::new(), None),
    };
    let len = len.unwrap_or(answer.len() as u64);
    let stream = body.stream.get_mut();
    stream
        .write_all(
            format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await?;
    if method != "HEAD" {
        stream.write_all(&answer).await?;
    }
    stream.shutdown().await?;
    // What a refused request still sends is read, so that closing is no reset.
    let _ = tokio::io::copy(&mut body.stream, &mut tokio::io::sink()).await;
    Ok(())
}

/// A request body; its bytes are in the reader's buffer.
struct Incoming {
    stream: BufReader<TcpStream>,
    /// Of the body, or of the chunk.
    remaining: u64,
    chunked: bool,
}

impl Incoming {
    /// How many bytes of the body are in the buffer now; to be taken out with `consumed`.
    async fn next(&mut self) -> io::Result<Option<usize>> {
        loop {
            if self.remaining > 0 {
                let buffered = self.stream.fill_buf().await?.len();
                if buffered == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                return Ok(Some(usize::try_from(self.remaining).unwrap_or(buffered).min(buffered)));
            }
            if !self.chunked {
                return Ok(None);
            }
            let mut size = String::new();
            while size.trim().is_empty() {
                size.clear();
                if self.stream.read_line(&mut size).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            self.remaining = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            if self.remaining == 0 {
                self.chunked = false;
                self.stream.read_line(&mut size).await?;
            }
        }
    }

    fn consumed(&mut self, len: usize) {
        self.stream.consume(len);
        self.remaining -= len as u64;
    }
}

/// As many bytes as the path says, each the low byte of its position divided by 4,096.
async fn make(stream: &mut BufReader<TcpStream>, path: &str) -> io::Result<()> {
    let len = path.trim_start_matches("/make/").split('/').next().unwrap_or_default();
    let len: u64 = len.parse().map_err(io::Error::other)?;
    let stream = stream.get_mut();
    stream
        .write_all(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await?;
    let pattern: Vec<u8> = (0..1 << 20).map(|at| (at >> 12) as u8).collect();
    let mut left = len;
    while left > 0 {
        let count = pattern.len().min(usize::try_from(left).unwrap_or(pattern.len()));
        stream.write_all(&pattern[..count]).await?;
        left -= count as u64;
    }
    stream.shutdown().await
}

/// Answers every connection with the bytes that the function makes of the request's path, and ends it.
pub(crate) async fn raw_server(
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                Some(_) = connections.join_next() => continue,
            };
            let answer = Arc::clone(&answer);
            connections.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await? == 0 {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&head).into_owned();
                let bytes = answer(text.split_whitespace().nth(1).unwrap_or_default());
                stream.write_all(&bytes).await?;
                stream.shutdown().await
            });
        }
    });
    (addr, task)
}
