//! A server with as much of WebDAV as a store of files needs: PUT and POST, GET, HEAD, DELETE, Basic auth.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How the server is, or is wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// The `Authorization` that every request must have.
    pub(crate) authorization: Option<String>,
    /// A header that uploads must have.
    pub(crate) header: Option<(String, String)>,
    /// Answers uploads with this status, having stored them.
    pub(crate) put_status: Option<&'static str>,
    /// Forgets so many bytes at the end of an upload.
    pub(crate) forget: usize,
    /// Refuses HEAD.
    pub(crate) no_head: bool,
}

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Methods, paths and headers as they came.
    requests: Mutex<Vec<Request>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

pub(crate) struct Dav {
    pub(crate) origin: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Dav {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dav {
    pub(crate) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (shared, manners) = (Arc::clone(&shared), manners.clone());
                    tokio::spawn(async move {
                        // A client that goes away has stored nothing.
                        let _ = serve(stream, &shared, &manners).await;
                    });
                }
            }
        });
        Self { origin, shared, task }
    }

    /// Says how many files there are.
    pub(crate) fn counter(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.files.lock().unwrap().len()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.shared.files.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

async fn serve(stream: TcpStream, shared: &Shared, manners: &Manners) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let request = Request { method, path, headers };
    shared.requests.lock().unwrap().push(request.clone());
    let (status, body, len) = answer(&mut stream, &request, shared, manners).await?;
    let len = len.unwrap_or(body.len());
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

type Answer = (&'static str, Vec<u8>, Option<usize>);

async fn answer(
    stream: &mut BufReader<TcpStream>,
    request: &Request,
    shared: &Shared,
    manners: &Manners,
) -> io::Result<Answer> {
    let words = |status, text: &str| Ok((status, text.as_bytes().to_vec(), None));
    let has = |name: &str, value: &str| request.headers.get(name).is_some_and(|other| other == value);
    if manners.authorization.as_ref().is_some_and(|expected| !has("authorization", expected)) {
        let given = request.headers.get("authorization").map_or("nothing", String::as_str);
        return words("401 Unauthorized", &format!("{given} is not the password for {}", request.path));
    }
    let file = || shared.files.lock().unwrap().get(&request.path).cloned();
    match request.method.as_str() {
        "PUT" | "POST" => {
            if manners.header.as_ref().is_some_and(|(name, value)| !has(name, value)) {
                return words("403 Forbidden", "a header is missing");
            }
            let mut bytes = body(stream, request).await?;
            bytes.truncate(bytes.len().saturating_sub(manners.forget));
            shared.files.lock().unwrap().insert(request.path.clone(), bytes);
            words(manners.put_status.unwrap_or("201 Created"), "stored")
        }
        "HEAD" if manners.no_head => Ok(("405 Method Not Allowed", Vec::new(), None)),
        "HEAD" => Ok(match file() {
            Some(bytes) => ("200 OK", Vec::new(), Some(bytes.len())),
            None => ("404 Not Found", Vec::new(), None),
        }),
        "GET" => Ok(match file() {
            Some(bytes) => ("200 OK", bytes, None),
            None => ("404 Not Found", Vec::new(), None),
        }),
        "DELETE" => match shared.files.lock().unwrap().remove(&request.path) {
            Some(_) => words("204 No Content", ""),
            None => words("404 Not Found", "no such file"),
        },
        _ => words("405 Method Not Allowed", ""),
    }
}

/// The whole body; an error if it ends early.
async fn body(stream: &mut BufReader<TcpStream>, request: &Request) -> io::Result<Vec<u8>> {
    if let Some(len) = request.headers.get("content-length") {
        let mut bytes = vec![0; len.parse().map_err(io::Error::other)?];
        stream.read_exact(&mut bytes).await?;
        return Ok(bytes);
    }
    assert_eq!(request.headers.get("transfer-encoding").map(String::as_str), Some("chunked"));
    let mut bytes = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let start = bytes.len();
        bytes.resize(start + len + 2, 0);
        stream.read_exact(&mut bytes[start..]).await?;
        bytes.truncate(start + len);
        if len == 0 {
            return Ok(bytes);
        }
    }
}
