//! What goes back to the client: bodies, JSON and text answers, errors, and errors dressed as redirects.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::download::FileBody;
use super::faults::SpoiledBody;

/// The body of an answer: bytes in memory, or a file read as the client takes it.
pub(super) enum Body {
    Full(Bytes),
    File(FileBody),
    /// A file with something wrong about it.
    Spoiled(Box<SpoiledBody>),
}

impl Body {
    pub(super) fn empty() -> Self {
        Self::Full(Bytes::new())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File(file) => file.poll_chunk(cx).map(|chunk| chunk.map(|bytes| bytes.map(Frame::data))),
            Self::Spoiled(file) => file.poll_chunk(cx).map(|chunk| chunk.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::File(file) => file.remaining() == 0,
            Self::Spoiled(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::File(file) => SizeHint::with_exact(file.remaining()),
            Self::Spoiled(file) => file.announced().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

/// A request that was not done, with the status and the sentence that the client reads.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Tells the log what went wrong and the client nothing, as Plik does outside debug mode.
    pub(super) fn internal(what: &str, cause: &dyn std::fmt::Display) -> Self {
        tracing::warn!("{what}: {cause}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal server error")
    }

    /// The plain text form: the sentence and a newline.
    pub(super) fn into_text(self) -> Response<Body> {
        let mut response = text(self.message + "\n");
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="plik""#));
        }
        response
    }

    /// The form for whoever does not look like a command line client: a redirect to Plik's web page, with
    /// the error in the fragment.
    ///
    /// The web page shows the message from there. A programme that follows the redirect meets a page, or
    /// here a 405, instead of the error. A 401 stays a 401, so that a browser asks for the password.
    pub(super) fn into_redirect(self, method: &Method, uri: &str) -> Response<Body> {
        if self.status == StatusCode::UNAUTHORIZED {
            return self.into_text();
        }
        let url = format!("/#/?err={}&errcode={}&uri={}", self.message, self.status.as_u16(), uri);
        let mut response = moved(url.as_bytes());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
        if method == Method::GET {
            let link = format!("<a href=\"{}\">Moved Permanently</a>.\n\n", escape_html(&url));
            *response.body_mut() = Body::Full(Bytes::from(link));
        }
        response
    }
}

/// Whether errors on downloads reach this client as they are, by the start of its `User-Agent`.
pub(super) fn takes_plain_errors(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    PLAIN_AGENTS.iter().any(|plain| {
        agent.get(..plain.len()).is_some_and(|start| start.eq_ignore_ascii_case(plain.as_bytes()))
    })
}

/// 200 with a JSON text, under the type that Plik's sniffing gives it.
pub(super) fn json(value: &serde_json::Value) -> Response<Body> {
    text(value.to_string())
}

/// 200 with a text.
pub(super) fn text(text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::Full(text.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

/// The given status and nothing else.
pub(super) fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// 301 to `location`; bytes beyond ASCII are escaped, spaces are not.
pub(super) fn moved(location: &[u8]) -> Response<Body> {
    let mut response = bare(StatusCode::MOVED_PERMANENTLY);
    let mut escaped = Vec::with_capacity(location.len());
    for byte in location {
        if byte.is_ascii() {
            escaped.push(*byte);
        } else {
            escaped.extend_from_slice(format!("%{byte:x}").as_bytes());
        }
    }
    response.headers_mut().insert(header::LOCATION, header_value(&escaped));
    response
}

/// `bytes` as a header value; control characters, which could end the line, become spaces.
pub(super) fn header_value(bytes: &[u8]) -> HeaderValue {
    let clean = |byte: &u8| if byte.is_ascii_control() { b' ' } else { *byte };
    let bytes: Vec<u8> = bytes.iter().map(clean).collect();
    // Without control characters nothing is left that a header value refuses.
    HeaderValue::from_bytes(&bytes).unwrap_or(HeaderValue::from_static(""))
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// `libwwww-perl` has one w too many in Plik too.
const PLAIN_AGENTS: [&str; 8] =
    ["wget", "curl", "python-urllib", "libwwww-perl", "php", "pycurl", "go-http-client", "plik_client"];
