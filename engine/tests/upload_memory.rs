//! Payloads of any length are uploaded in bounded memory.
//!
//! A test binary of its own, because what it measures is the peak of the whole process: the bridge, and a server that
//! forgets what it gets.

#![cfg(all(feature = "nats", feature = "plik"))]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "bridge/nats.rs"]
mod nats;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use natsbridge::Bridge;
use natsbridge::link::Plik;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const GIB: u64 = 1 << 30;

/// One source holds 2 MiB; the rest is the connection's, the allocator's and the threads'.
const ALLOWED: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_of_either_kind_takes_a_bounded_amount_of_memory() {
    let nats = nats::NatsServer::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that goes away fails its own test.
            tokio::spawn(async move { discard(stream).await });
        }
    });
    let bridge = Bridge::builder().store(Plik::new(&url).unwrap()).connect(nats.url()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse");
    std::fs::File::create(&path).unwrap().set_len(GIB).unwrap();

    // Warms up: buffers, threads, connections.
    bridge.send("s").reader("r", Zeros(20 << 20), None).await.unwrap();
    let before = peak_memory();
    for (name, message) in [
        ("a reader of unknown length", bridge.send("s").reader("r", Zeros(GIB), None)),
        ("a reader of known length", bridge.send("s").reader("r", Zeros(GIB), GIB)),
        ("a sparse file", bridge.send("s").file("f", &path)),
    ] {
        let receipt = message.await.unwrap();
        assert_eq!(receipt.payloads()[0].size, GIB, "{name}");
        let sha256: String = receipt.envelope().payload(0).unwrap().metadata().get("sha256").unwrap();
        assert_eq!(sha256, digest_of_zeros(), "{name}");
        match (before, peak_memory()) {
            (Some(before), Some(after)) => {
                eprintln!("{name}: the peak grew by {} kB", (after - before) / 1000);
                assert!(after - before < ALLOWED, "{name}: the peak grew by {} bytes", after - before);
            }
            _ => eprintln!("memory not measured: no /proc/self/status here"),
        }
    }
    server.abort();
}

/// Zeros from nowhere.
struct Zeros(u64);

impl AsyncRead for Zeros {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = out.remaining().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        out.initialize_unfilled_to(count).fill(0);
        out.advance(count);
        self.0 -= count as u64;
        Poll::Ready(Ok(()))
    }
}

fn digest_of_zeros() -> String {
    let mut hasher = Sha256::new();
    let piece = vec![0; 1 << 20];
    (0..GIB >> 20).for_each(|_| hasher.update(&piece));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Answers one request as a Plik does, and keeps nothing of it.
async fn discard(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut length, mut boundary, mut first) = (None, 0, String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        if first.is_empty() {
            first = line.to_owned();
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = Some(value.parse::<u64>().unwrap());
        } else if let Some((_, value)) = line.split_once("boundary=") {
            boundary = value.len() as u64;
        } else if line.is_empty() {
            break;
        }
    }
    let body = match length {
        Some(length) => {
            skip(&mut stream, length).await?;
            length
        }
        None => chunked(&mut stream).await?,
    };
    let answer = if first.starts_with("POST /upload ") {
        r#"{"id":"UPLOAD","uploadToken":"TOKEN"}"#.to_owned()
    } else {
        let name = if first.is_empty() { "" } else { "r" };
        let head = "--\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r\"\r\n\
                    Content-Type: application/octet-stream\r\n\r\n";
        let size = body - (head.len() + "\r\n----\r\n".len()) as u64 - 2 * boundary;
        format!(r#"{{"id":"FILE","fileName":"{name}","status":"uploaded","fileSize":{size}}}"#)
    };
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
    stream.get_mut().write_all(reply.as_bytes()).await?;
    stream.get_mut().shutdown().await
}

async fn chunked(stream: &mut BufReader<TcpStream>) -> io::Result<u64> {
    let mut body = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let length = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        skip(stream, length + 2).await?;
        if length == 0 {
            return Ok(body);
        }
        body += length;
    }
}

async fn skip(stream: &mut BufReader<TcpStream>, mut length: u64) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    while length > 0 {
        let most = usize::try_from(length).unwrap_or(usize::MAX).min(piece.len());
        let count = stream.read(&mut piece[..most]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length -= count as u64;
    }
    Ok(())
}
