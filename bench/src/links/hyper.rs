//! Bare hyper: the file streamed in pieces of 256 KiB, its SHA-256 computed as it is read; and fetched into a file, its
//! SHA-256 computed as it is written.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{compare, now};
use crate::nats::BoxError;

const PIECE: usize = 256 << 10;
const BOUNDARY: &str = "natsbridge-bench-5f0c3a4e1b7d4c52";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The time, and where the file is.
pub(super) async fn upload(files: &str, file: &Path) -> Result<(Duration, String), BoxError> {
    let host = host_of(files)?;
    let begun = now();
    let mut connection = connect(host).await?;

    let (upload, token) = create(&mut connection, host).await?;
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let len = head.len() as u64 + file.metadata()?.len() + tail.len() as u64;
    let (sender, pieces) = mpsc::channel::<Bytes>(4);
    let path = file.to_owned();
    let digest = tokio::task::spawn_blocking(move || read(&path, head, tail, &sender));
    let stream = futures_util::stream::unfold(pieces, |mut pieces| async {
        pieces.recv().await.map(|piece| (Ok::<_, Infallible>(Frame::data(piece)), pieces))
    });
    let request = Request::post(format!("/file/{upload}"))
        .header("host", host)
        .header("x-uploadtoken", token)
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .header("content-length", len)
        .body(BodyExt::boxed_unsync(StreamBody::new(stream)))?;
    let reply: Value = serde_json::from_slice(&ask(&mut connection, request).await?)?;
    std::hint::black_box(digest.await??);
    let spent = begun.elapsed();

    let id = reply["id"].as_str().ok_or("no file id")?;
    let url = format!("http://{host}/file/{upload}/{id}/file.bin");
    compare(&url, file).await?;
    Ok((spent, url))
}

/// Fetches what was uploaded before: the pieces go to a thread that hashes and writes them.
pub(super) async fn download(files: &str, file: &Path, copy: &Path) -> Result<Duration, BoxError> {
    let (_, url) = upload(files, file).await?;
    let host = host_of(files)?;
    let expected = tokio::fs::read(file).await?;
    let expected: [u8; 32] = Sha256::digest(&expected).into();
    let path = url.strip_prefix("http://").and_then(|rest| rest.strip_prefix(host)).ok_or("another host")?;
    let begun = now();
    let mut connection = connect(host).await?;
    let request = Request::builder().method(Method::GET).uri(path).header("host", host).body(full(""))?;
    connection.ready().await?;
    let mut body = connection.send_request(request).await?.into_body();
    let (sender, pieces) = mpsc::channel::<Bytes>(64);
    let copy = copy.to_owned();
    let writing = tokio::task::spawn_blocking(move || write(&copy, pieces));
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            sender.send(piece).await?;
        }
    }
    drop(sender);
    let digest = writing.await??;
    let spent = begun.elapsed();
    if digest == expected { Ok(spent) } else { Err("another digest".into()) }
}

pub(super) fn host_of(files: &str) -> Result<&str, BoxError> {
    Ok(files.strip_prefix("http://").ok_or("not http")?.trim_end_matches('/'))
}

pub(super) async fn create(
    connection: &mut http1::SendRequest<Body>,
    host: &str,
) -> Result<(String, String), BoxError> {
    let request = Request::post("/upload").header("host", host).body(full("{}"))?;
    let reply: Value = serde_json::from_slice(&ask(connection, request).await?)?;
    match (reply["id"].as_str(), reply["uploadToken"].as_str()) {
        (Some(id), Some(token)) => Ok((id.into(), token.into())),
        _ => Err("no upload was created".into()),
    }
}

pub(super) async fn get(url: &str) -> Result<Vec<u8>, BoxError> {
    let rest = url.strip_prefix("http://").ok_or("not http")?;
    let at = rest.find('/').ok_or("no path")?;
    let (host, path) = rest.split_at(at);
    let mut connection = connect(host).await?;
    let request = Request::builder().method(Method::GET).uri(path).header("host", host).body(full(""))?;
    Ok(ask(&mut connection, request).await?.into())
}

pub(super) async fn connect(host: &str) -> Result<http1::SendRequest<Body>, BoxError> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn full(text: &'static str) -> Body {
    BodyExt::boxed_unsync(Full::new(Bytes::from_static(text.as_bytes())))
}

async fn ask(connection: &mut http1::SendRequest<Body>, request: Request<Body>) -> Result<Bytes, BoxError> {
    connection.ready().await?;
    let reply = connection.send_request(request).await?;
    let status = reply.status();
    let body = reply.into_body().collect().await?.to_bytes();
    if status.is_success() { Ok(body) } else { Err(format!("{status}").into()) }
}

/// On a thread that may block: the pieces of the form, and the file's digest.
fn read(file: &Path, head: String, tail: String, pieces: &mpsc::Sender<Bytes>) -> std::io::Result<[u8; 32]> {
    let gone = |_| std::io::Error::other("the connection is gone");
    pieces.blocking_send(head.into()).map_err(gone)?;
    let mut file = std::fs::File::open(file)?;
    let mut digest = Sha256::new();
    loop {
        let mut piece = vec![0; PIECE];
        let len = file.read(&mut piece)?;
        if len == 0 {
            break;
        }
        piece.truncate(len);
        digest.update(&piece);
        pieces.blocking_send(piece.into()).map_err(gone)?;
    }
    pieces.blocking_send(tail.into()).map_err(gone)?;
    Ok(digest.finalize().into())
}

/// On a thread that may block: the file and its digest.
fn write(copy: &Path, mut pieces: mpsc::Receiver<Bytes>) -> std::io::Result<[u8; 32]> {
    let mut file = std::fs::File::create_new(copy)?;
    let mut digest = Sha256::new();
    while let Some(piece) = pieces.blocking_recv() {
        digest.update(&piece);
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(digest.finalize().into())
}
