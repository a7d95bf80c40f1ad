//! A server that reads requests, writes them down, and answers byte for byte as told.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use natsbridge::link::LinkUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What a connection gets.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The whole request is read; these bytes, then the end.
    Whole(String),
    /// Only the head of the request is read; these bytes, then the end, with the body unread.
    Early(String),
    /// These bytes, and then nothing, for ever.
    Stall(String),
    /// The first text, and then the second without end.
    Endless(String, String),
    /// The same, but slowly.
    Drip(String, String),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Stops when it is dropped.
pub(crate) struct Server {
    /// `http://127.0.0.1:port`
    pub(crate) origin: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// `script` gets the number of the connection, from 0, and the request, whose body is not read yet.
    pub(crate) async fn start(script: impl FnMut(usize, &Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let script = Arc::new(Mutex::new(script));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                connections.spawn(async move {
                    let answer = |request: &Request| (script.lock().unwrap())(number, request);
                    // A client that goes away is the client's business.
                    let _ = serve(stream, answer, &log).await;
                });
            }
        });
        Self { origin, requests, task }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> LinkUrl {
        LinkUrl::parse(&format!("{}{path}", self.origin)).unwrap()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: impl Fn(&Request) -> Answer,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&piece[..count]);
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.trim_end().lines();
    let line = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut request = Request { line, headers, body: bytes.split_off(head) };
    let answer = answer(&request);
    if let Answer::Early(text) = answer {
        log.lock().unwrap().push(request);
        return stream.write_all(text.as_bytes()).await;
    }
    let length: usize = request.header("content-length").map_or(0, |value| value.parse().unwrap());
    let mut piece = vec![0; 65_536];
    while request.body.len() < length {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            break;
        }
        request.body.extend_from_slice(&piece[..count]);
    }
    log.lock().unwrap().push(request);
    match answer {
        Answer::Whole(text) | Answer::Early(text) => {
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        }
        Answer::Stall(text) => {
            stream.write_all(text.as_bytes()).await?;
            std::future::pending().await
        }
        Answer::Endless(head, more) => {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(more.as_bytes()).await?;
            }
        }
        Answer::Drip(head, more) => {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(more.as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// An answer with a Content-Length.
pub(crate) fn reply(status: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}
