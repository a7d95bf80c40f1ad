//! From a request to its answer: finds the route, checks the method, names the caller, and decides in which
//! form an error goes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::answer::{self, Body, Failure, json, takes_plain_errors, text};
use super::create::{create_upload, default_params};
use super::describe::{self, Format};
use super::download::get_file;
use super::faults::{Faults, Kind, ServerFault};
use super::options::Options;
use super::params::percent_decode;
use super::receive::{Target, add_file};
use super::uploads::{Address, Caller, Uploads};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) uploads: Arc<Uploads>,
    pub(super) faults: Faults,
    /// `http://` and the address that the server listens on.
    pub(super) url: String,
}

/// Answers one request. `unread` is set when part of its body was left on the wire.
pub(super) async fn answer(
    shared: &Shared,
    request: Request<Incoming>,
    unread: &AtomicBool,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(body);
    let fault = shared.faults.take(Kind::of(&parts.method, parts.uri.path()));
    let mut response = match fault.as_ref().and_then(ServerFault::refusal) {
        Some(refusal) => refusal,
        None => {
            let response = dispatch(shared, &parts, &mut body).await;
            match fault {
                Some(fault) => fault.spoil(response),
                None => response,
            }
        }
    };
    // The status only: paths hold the ids that give access, headers the tokens.
    tracing::debug!(method = %parts.method, status = response.status().as_u16(), "answered");
    if response.status().is_success() {
        body.drain().await;
    }
    if !body.ended {
        unread.store(true, Ordering::Relaxed);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn dispatch(shared: &Shared, parts: &Parts, body: &mut RequestBody) -> Response<Body> {
    let Some(path) = percent_decode(parts.uri.path().as_bytes()) else {
        let mut response = text("400 Bad Request");
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    if let Some(clean) = clean_path(&path) {
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return answer::moved(&[percent_encode(&clean).as_bytes(), query.as_bytes()].concat());
    }
    let Some(route) = Route::find(&path) else {
        return Failure::not_found("404 page not found").into_text();
    };
    if !route.allows(&parts.method) {
        return answer::bare(StatusCode::METHOD_NOT_ALLOWED);
    }
    let redirects = matches!(route, Route::File(_))
        && matches!(parts.method, Method::GET | Method::HEAD)
        && !takes_plain_errors(&parts.headers);
    match handle(shared, route, parts, body).await {
        Ok(response) => response,
        Err(failure) if redirects => {
            let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
            failure.into_redirect(&parts.method, uri)
        }
        Err(failure) => failure.into_text(),
    }
}

async fn handle(
    shared: &Shared,
    route: Route,
    parts: &Parts,
    body: &mut RequestBody,
) -> Result<Response<Body>, Failure> {
    let (method, headers, uploads) = (&parts.method, &parts.headers, &shared.uploads);
    match route {
        Route::Config => return Ok(json(&describe::config(&shared.options))),
        Route::Version => return Ok(json(&describe::version())),
        Route::Health => return Ok(text("ok\n")),
        Route::Account => {
            return Err(Failure::unauthorized("You must be authenticated, please login first"));
        }
        _ => {}
    }
    let caller = caller(shared, headers)?;
    match route {
        Route::Create => create_upload(shared, caller.user, body).await,
        Route::Upload(id) if method == Method::DELETE => {
            uploads.with_upload(&id, &caller, |upload, admin| {
                allowed(upload.params.removable || admin, "you are not allowed to remove this upload")
            })?;
            uploads.remove(&id);
            Ok(text("ok"))
        }
        Route::Upload(id) => uploads.with_upload(&id, &caller, |upload, admin| {
            Ok(json(&describe::upload(upload, admin, &shared.options, Format::Current)))
        }),
        Route::Files(upload) => {
            let file = add_file(shared, Target::New { upload }, &caller, headers, body).await?;
            Ok(json(&describe::file(&file)))
        }
        Route::File(address) if method == Method::POST => {
            let file = add_file(shared, Target::Declared(address), &caller, headers, body).await?;
            Ok(json(&describe::file(&file)))
        }
        Route::File(address) if method == Method::DELETE => {
            uploads.with_file(&address, &caller, |upload, _, admin| {
                let refusal = "you are not allowed to remove files from this upload";
                allowed(upload.params.removable || admin, refusal)
            })?;
            uploads.bury_file(&address.upload, &address.file);
            Ok(text("ok"))
        }
        Route::File(address) => {
            let host = headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
            get_file(shared, address, &caller, method, host, asks_attachment(parts.uri.query())).await
        }
        Route::Quick => quick_upload(shared, caller, headers, body).await,
        // Answered above, before the caller is named.
        Route::Config | Route::Version | Route::Health | Route::Account => Ok(text("")),
    }
}

/// One file without any ceremony: an upload with the defaults, whose token nobody is told.
async fn quick_upload(
    shared: &Shared,
    caller: Caller,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Response<Body>, Failure> {
    let params = default_params(&shared.options, caller.user)?;
    let upload = shared.uploads.create(params);
    let upload = upload.map_err(|error| Failure::internal("unable to create upload", &error))?;
    let caller = Caller { upload_token: Some(upload.token.reveal().into()), ..caller };
    let target = Target::New { upload: upload.id.clone() };
    let file = add_file(shared, target, &caller, headers, body).await?;
    let base = shared.options.download_domain.as_deref().unwrap_or(&shared.url);
    // The name goes in as it is: Plik does not escape it here either.
    let start = format!("{base}/file/{}/{}/", upload.id, file.id);
    Ok(text([start.as_bytes(), &file.name, b"\n"].concat()))
}

fn allowed(allowed: bool, refusal: &str) -> Result<(), Failure> {
    if allowed { Ok(()) } else { Err(Failure::forbidden(refusal)) }
}

/// Reads the credentials; a user token that is not the server's refuses the whole request.
fn caller(shared: &Shared, headers: &HeaderMap) -> Result<Caller, Failure> {
    let header = |name| headers.get(name).map(HeaderValue::as_bytes).filter(|value| !value.is_empty());
    let user = match (&shared.options.user_token, header("x-pliktoken")) {
        (Some(token), Some(guess)) if !token.matches(guess) => {
            return Err(Failure::forbidden("invalid token"));
        }
        (Some(_), Some(_)) => true,
        _ => false,
    };
    Ok(Caller {
        upload_token: header("x-uploadtoken").map(<[u8]>::to_vec),
        user,
        authorization: header(AUTHORIZATION.as_str()).map(<[u8]>::to_vec),
    })
}

/// Whether the query has a `dl` that is not empty.
fn asks_attachment(query: Option<&str>) -> bool {
    let dl = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("dl="));
    dl.is_some_and(|value| !value.is_empty())
}

/// The routes of the server, with what their paths name.
#[derive(Debug)]
enum Route {
    /// Anything about user accounts, which this server has not.
    Account,
    Config,
    Create,
    File(Address),
    Files(String),
    Health,
    Quick,
    Upload(String),
    Version,
}

impl Route {
    /// The route of a decoded path. An empty segment belongs to no route, so a trailing slash is a 404.
    fn find(path: &[u8]) -> Option<Self> {
        let segments: Vec<&[u8]> = path.strip_prefix(b"/")?.split(|byte| *byte == b'/').collect();
        let id = |segment: &[u8]| String::from_utf8_lossy(segment).into_owned();
        if segments.len() > 1 && segments.contains(&&b""[..]) {
            return None;
        }
        match segments[..] {
            [b""] => Some(Self::Quick),
            [b"config"] => Some(Self::Config),
            [b"health"] => Some(Self::Health),
            [b"version"] => Some(Self::Version),
            [b"me"] | [b"me", b"token" | b"uploads" | b"stats"] => Some(Self::Account),
            [b"upload"] => Some(Self::Create),
            [b"upload", upload] => Some(Self::Upload(id(upload))),
            [b"file", upload] => Some(Self::Files(id(upload))),
            // `/stream` is another name of the same thing.
            [b"file" | b"stream", upload, file, name] => {
                Some(Self::File(Address { upload: id(upload), file: id(file), name: name.to_vec() }))
            }
            _ => None,
        }
    }

    fn allows(&self, method: &Method) -> bool {
        match self {
            Self::Account | Self::Config | Self::Health | Self::Version => method == Method::GET,
            Self::Create | Self::Files(_) | Self::Quick => method == Method::POST,
            Self::Upload(_) => matches!(*method, Method::GET | Method::DELETE),
            Self::File(_) => {
                matches!(*method, Method::GET | Method::HEAD | Method::POST | Method::DELETE)
            }
        }
    }
}

/// The path without empty, `.` and `..` segments; `None` when it has none of them.
fn clean_path(path: &[u8]) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut clean = Vec::with_capacity(path.len());
    for segment in kept {
        clean.push(b'/');
        clean.extend_from_slice(segment);
    }
    if clean.is_empty() || path.ends_with(b"/") {
        clean.push(b'/');
    }
    (clean != path).then_some(clean)
}

fn percent_encode(path: &[u8]) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The body of a request, which remembers whether it was read to its end.
///
/// hyper asks a client that sent `Expect: 100-continue` for the body at the first read, so a request that
/// is refused before costs nothing.
pub(super) struct RequestBody {
    incoming: Incoming,
    ended: bool,
}

impl RequestBody {
    fn new(incoming: Incoming) -> Self {
        let ended = incoming.is_end_stream();
        Self { incoming, ended }
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while !self.ended {
            match self.incoming.frame().await {
                None => self.ended = true,
                Some(frame) => {
                    // Trailers are no data and are not looked at.
                    let data = frame?.into_data().ok();
                    self.ended = self.incoming.is_end_stream();
                    if data.is_some() {
                        return Ok(data);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads a small rest (what follows the file in a form), so that the connection can be used again.
    async fn drain(&mut self) {
        let mut drained = 0;
        while drained <= MAX_DRAIN {
            match self.chunk().await {
                Ok(Some(chunk)) => drained += chunk.len(),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// Beyond this a new connection is cheaper than reading on. Go's server draws the line here too.
const MAX_DRAIN: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        let cases = [
            ("/", None),
            ("/upload", None),
            ("/upload/", None),
            ("/a/...", None),
            ("//upload/x", Some("/upload/x")),
            ("/upload//x/", Some("/upload/x/")),
            ("/file/u/f/..", Some("/file/u")),
            ("/file/./u", Some("/file/u")),
            ("/../..", Some("/")),
            ("//", Some("/")),
            ("", Some("/")),
        ];
        for (path, expected) in cases {
            let clean = clean_path(path.as_bytes()).map(|clean| String::from_utf8(clean).unwrap());
            assert_eq!(clean.as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn only_a_non_empty_dl_asks_for_an_attachment() {
        assert!(asks_attachment(Some("dl=1")) && asks_attachment(Some("x&dl=yes")));
        assert!(
            !asks_attachment(None) && !asks_attachment(Some("dl")) && !asks_attachment(Some("dl=&xdl=1"))
        );
    }
}
