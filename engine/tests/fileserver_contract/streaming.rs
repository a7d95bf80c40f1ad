//! Large files pass through in bounded memory.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{FORM, Request, TOKEN, form_end, form_start, plik, read_reply};

const SIZE: usize = 80 * 1024 * 1024;
const CHUNK: usize = 1024 * 1024;

/// The most memory this process ever had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Bytes that repeat with a period that no chunk size shares.
fn pattern(at: usize, len: usize) -> Vec<u8> {
    (at..at + len).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn eighty_megabytes_up_and_down_take_a_bounded_amount_of_memory() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let before = peak_memory();

    let (start, end) = (form_start("big"), form_end());
    let length = (start.len() + SIZE + end.len()).to_string();
    let head = Request::new("POST", &format!("/file/{}", upload.id))
        .header(TOKEN, &upload.token)
        .header("Content-Type", FORM)
        .header("Content-Length", &length);
    let mut stream = plik.connect().await;
    stream.write_all(&[head.bytes(), start].concat()).await.unwrap();
    for at in (0..SIZE).step_by(CHUNK) {
        stream.write_all(&pattern(at, CHUNK)).await.unwrap();
    }
    stream.write_all(&end).await.unwrap();
    let file = read_reply(&mut stream).await.json();
    assert_eq!(file["fileSize"], SIZE);

    let path = format!("/file/{}/{}/big", upload.id, file["id"].as_str().unwrap());
    let mut stream = plik.connect().await;
    stream.write_all(&Request::new("GET", &path).bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    for at in (0..SIZE).step_by(CHUNK) {
        let mut chunk = vec![0; CHUNK];
        stream.read_exact(&mut chunk).await.unwrap();
        assert!(chunk == pattern(at, CHUNK), "differs after {at}");
    }

    // Tests of this process that run at the same time hold up to two files of 20 MB in their clients; the
    // server keeping the file would show as 80 MB or more.
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        assert!(after - before < 70 * 1024 * 1024, "peak grew by {} bytes", after - before);
    }
}
