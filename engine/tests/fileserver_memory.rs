//! Large files pass through the embedded file server in bounded memory.
//!
//! A test binary of its own, because what it measures is the peak of the whole process.

#![cfg(feature = "fileserver")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use natsbridge::fileserver::FileServer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SIZE: usize = 80 * 1024 * 1024;
const CHUNK: usize = 1024 * 1024;
const PERIOD: usize = 251;

/// The server's part is two batches of 256 KiB; the rest is the allocator's and the test's own.
const ALLOWED: u64 = 16 * 1024 * 1024;

#[tokio::test]
async fn eighty_megabytes_up_and_down_take_a_bounded_amount_of_memory() {
    let server = FileServer::builder().start().await.unwrap();
    let created = exchange(&server, "POST /upload", "", &[]).await;
    let (id, token) = (created["id"].as_str().unwrap(), created["uploadToken"].as_str().unwrap());

    // What a file of repeated bytes has at `at`; no chunk size shares its period.
    let pattern: Vec<u8> = (0..CHUNK + PERIOD).map(|at| (at % PERIOD) as u8).collect();
    let expected = |at: usize| &pattern[at % PERIOD..][..CHUNK];
    let before = peak_memory();

    let mut form =
        vec![&b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big\"\r\n\r\n"[..]];
    form.extend((0..SIZE).step_by(CHUNK).map(expected));
    form.push(b"\r\n--B--\r\n");
    let headers = format!("X-UploadToken: {token}\r\nContent-Type: multipart/form-data; boundary=B\r\n");
    let file = exchange(&server, &format!("POST /file/{id}"), &headers, &form).await;
    assert_eq!(file["fileSize"], SIZE);

    let get = format!("GET /file/{id}/{}/big", file["id"].as_str().unwrap());
    let mut stream = request(&server, &get, "", &[]).await;
    let head = read_head(&mut stream).await;
    assert!(head.contains(&format!("Content-Length: {SIZE}")), "{head}");
    let mut chunk = vec![0; CHUNK];
    for at in (0..SIZE).step_by(CHUNK) {
        stream.read_exact(&mut chunk).await.unwrap();
        assert!(chunk == expected(at), "differs after byte {at}");
    }

    assert_bounded(before);
    drop(stream);

    // The same byte by byte, each a chunk of its own, with the longest boundary there may be.
    let before = peak_memory();
    let created = exchange(&server, "POST /upload", "", &[]).await;
    let (id, token) = (created["id"].as_str().unwrap(), created["uploadToken"].as_str().unwrap());
    let boundary = "b".repeat(70);
    let head =
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"slow\"\r\n\r\n");
    let tail = format!("\r\n--{boundary}--\r\n");
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let request = format!(
        "POST /file/{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         X-UploadToken: {token}\r\nContent-Type: multipart/form-data; boundary={boundary}\r\n\r\n{:x}\r\n{head}\r\n",
        head.len(),
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let bytes = "1\r\nx\r\n".repeat(1000);
    for _ in 0..300 {
        stream.write_all(bytes.as_bytes()).await.unwrap();
    }
    stream.write_all(format!("{:x}\r\n{tail}\r\n0\r\n\r\n", tail.len()).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\"fileSize\":300000"), "{answer}");
    assert_bounded(before);
}

#[track_caller]
fn assert_bounded(before: Option<u64>) {
    match (before, peak_memory()) {
        (Some(before), Some(after)) => {
            assert!(after - before < ALLOWED, "the peak grew by {} bytes", after - before);
        }
        _ => eprintln!("memory not measured: no /proc/self/status here"),
    }
}

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

async fn request(server: &FileServer, line: &str, headers: &str, body: &[&[u8]]) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let len: usize = body.iter().map(|piece| piece.len()).sum();
    let head =
        format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in body {
        stream.write_all(piece).await.unwrap();
    }
    stream
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn exchange(server: &FileServer, line: &str, headers: &str, body: &[&[u8]]) -> Value {
    let mut stream = request(server, line, headers, body).await;
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let mut body = Vec::new();
    stream.read_to_end(&mut body).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}
