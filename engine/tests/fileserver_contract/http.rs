//! A server of its own for each test, and the few lines of HTTP that the tests speak.

use std::path::{Path, PathBuf};

use natsbridge::fileserver::{FileServer, FileServerBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const TOKEN: &str = "X-UploadToken";

/// A server and the folder that it writes to.
pub(crate) struct Plik {
    pub(crate) server: FileServer,
    pub(crate) dir: tempfile::TempDir,
}

/// What a client knows of an upload that it created.
#[derive(Clone)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// One answer, as it came.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) status_line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request under construction.
pub(crate) struct Request {
    method: String,
    path: Vec<u8>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

pub(crate) async fn plik() -> Plik {
    plik_with(|builder| builder).await
}

pub(crate) async fn plik_with(options: impl FnOnce(FileServerBuilder) -> FileServerBuilder) -> Plik {
    let dir = tempfile::tempdir().unwrap();
    let server = options(FileServer::builder().dir(dir.path())).start().await.unwrap();
    Plik { server, dir }
}

impl Plik {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.addr()).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(&request.bytes()).await.unwrap();
        read_reply(&mut stream).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::new("GET", path)).await
    }

    pub(crate) async fn head(&self, path: &str) -> Reply {
        self.send(Request::new("HEAD", path)).await
    }

    /// `POST /upload`; an empty `json` is no body at all.
    pub(crate) async fn try_create(&self, json: &str) -> Reply {
        self.send(Request::new("POST", "/upload").body(json)).await
    }

    pub(crate) async fn create(&self, json: &str) -> Upload {
        let reply = self.try_create(json).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let json = reply.json();
        Upload {
            id: json["id"].as_str().unwrap().into(),
            token: json["uploadToken"].as_str().unwrap().into(),
        }
    }

    pub(crate) async fn try_add(&self, upload: &Upload, name: &str, data: &[u8]) -> Reply {
        let request = Request::new("POST", &format!("/file/{}", upload.id));
        self.send(request.header(TOKEN, &upload.token).form(name, data)).await
    }

    /// Adds a file and returns its JSON.
    pub(crate) async fn add(&self, upload: &Upload, name: &str, data: &[u8]) -> Value {
        let reply = self.try_add(upload, name, data).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// Adds a file and returns its path.
    pub(crate) async fn put(&self, upload: &Upload, name: &str, data: &[u8]) -> String {
        let file = self.add(upload, name, data).await;
        format!("/file/{}/{}/{}", upload.id, file["id"].as_str().unwrap(), name)
    }

    /// The upload's files as `GET /upload` lists them.
    pub(crate) async fn files(&self, upload: &Upload) -> Vec<Value> {
        self.get(&format!("/upload/{}", upload.id)).await.json()["files"].as_array().unwrap().clone()
    }

    /// The files on disk.
    pub(crate) fn on_disk(&self) -> Vec<PathBuf> {
        files_under(&self.dir.path().join("files"))
    }
}

pub(crate) fn files_under(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

/// Reads one answer to the end of the connection, or to its `Content-Length`.
pub(crate) async fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let read = stream.read_buf(&mut bytes).await.unwrap();
        assert_ne!(
            read,
            0,
            "the connection ended in the head of the answer: {:?}",
            String::from_utf8_lossy(&bytes)
        );
    };
    let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap().to_owned();
    let headers =
        lines.map(|line| line.split_once(": ").unwrap()).map(|(k, v)| (k.into(), v.into())).collect();
    let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut reply = Reply { status, status_line, headers, body: bytes.split_off(head_len + 4) };
    if reply.header("connection") == Some("close") {
        stream.read_to_end(&mut reply.body).await.unwrap();
    } else {
        let len: usize = reply.header("content-length").map_or(0, |len| len.parse().unwrap());
        while reply.body.len() < len {
            assert_ne!(
                stream.read_buf(&mut reply.body).await.unwrap(),
                0,
                "the connection ended in the body"
            );
        }
    }
    reply
}

/// For the message of a failed test: a body may be megabytes.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        write!(f, "{} {:?} {start:?} ({} bytes)", self.status_line, self.headers, self.body.len())
    }
}

impl Reply {
    /// A header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Asserts an error in Plik's form: the status, the sentence and a newline, under the type of a text.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, message: &str) {
        assert_eq!((self.status, self.text()), (status, format!("{message}\n")), "{self:?}");
        assert_eq!(self.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
    }
}

impl Request {
    /// A request of curl, which gets errors as they are, on a connection for itself.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let headers = [("Host", "localhost"), ("User-Agent", "curl/8.0"), ("Connection", "close")];
        let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self { method: method.into(), path: path.as_bytes().into(), headers, body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    pub(crate) fn agent(self, agent: &str) -> Self {
        self.without("User-Agent").header("User-Agent", agent)
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().into();
        self
    }

    /// A form with one file, as curl writes it.
    pub(crate) fn form(self, name: &str, data: &[u8]) -> Self {
        self.parts(&[(&format!("form-data; name=\"file\"; filename=\"{name}\""), data)])
    }

    /// A form with these parts: content disposition and data.
    pub(crate) fn parts(self, parts: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (disposition, data) in parts {
            body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n").bytes());
            body.extend_from_slice(data);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        self.header("Content-Type", FORM).body(body)
    }

    /// The request on the wire, with a `Content-Length` where it has none and needs one.
    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(key, _)| key == name);
        if !has("Content-Length")
            && !has("Transfer-Encoding")
            && (!self.body.is_empty() || self.method == "POST")
        {
            self.headers.push(("Content-Length".into(), self.body.len().to_string()));
        }
        let mut bytes = [self.method.as_bytes(), b" ", &self.path, b" HTTP/1.1\r\n"].concat();
        for (key, value) in &self.headers {
            bytes.extend(format!("{key}: {value}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(self.body);
        bytes
    }
}

pub(crate) const BOUNDARY: &str = "----natsbridge-7f3a";
pub(crate) const FORM: &str = "multipart/form-data; boundary=----natsbridge-7f3a";

/// The head of a form with one file; its data and [`form_end`] follow.
pub(crate) fn form_start(name: &str) -> Vec<u8> {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n")
        .into()
}

pub(crate) fn form_end() -> Vec<u8> {
    format!("\r\n--{BOUNDARY}--\r\n").into()
}
