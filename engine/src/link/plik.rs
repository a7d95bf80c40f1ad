//! The Plik store: uploads with a lifetime, links, deletion.

mod form;
mod join;
mod options;
mod reply;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::Method;
use tracing::Instrument;

use self::form::form;
pub(super) use self::form::safe_name;
use self::join::join_in_order;
pub use self::options::Lifetime;
use self::reply::{Base, Created, MAX_DOMAIN, MAX_FILES, MAX_ID, Nonsense};
use super::address::Reach;
use super::http::{
    Client, Direction, Reply, Request, RequestBody, download, resume, secrets_of_header, status_error,
};
use super::origin::{Origin, Scheme};
use super::store::{BoxFuture, Download, LinkStore, Upload, Uploaded};
use super::url::{LinkUrl, encode_segment};
use crate::{Error, ErrorKind, Result};

/// The most bytes of an answer that is read: Plik's own limit for descriptions of uploads.
const MAX_ANSWER: usize = 1024 * 1024;

/// A [Plik](https://github.com/root-gg/plik) file server.
///
/// Files are kept for 24 hours unless [`lifetime`](Self::lifetime) says otherwise. The bytes of an upload are sent as they
/// come, with an exact length where it is known and in chunks where it is not; afterwards the size that the server
/// reports is checked, and a file that is not what was sent is deleted again. A batch makes one upload with many files,
/// sent in parallel. Clones share what they know about the server.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use natsbridge::link::{Lifetime, Plik};
///
/// let store = Plik::new("http://localhost:8080")?.lifetime(Lifetime::Keep(Duration::from_secs(3600)));
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Plik {
    base: Base,
    client: Client,
    lifetime: Lifetime,
    /// `X-PlikToken`.
    token: Option<String>,
    auth: Option<options::Auth>,
    protect_uploads: bool,
    verify_md5: bool,
    /// At least 1.
    parallel: usize,
    /// Shared by clones: they speak to the same server.
    domain: Arc<Mutex<Domain>>,
}

/// What the server says about its download domain; the outer `Option` is whether it said anything.
#[derive(Debug, Default, Clone)]
struct Domain {
    /// In its configuration.
    announced: Option<Option<Base>>,
    /// In its configuration or with an upload, whichever came last.
    latest: Option<Option<Base>>,
}

impl LinkStore for Plik {
    fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
        Box::pin(async move {
            let impossible = || Err(Error::new(ErrorKind::Bug, "an upload has no result"));
            self.upload_batch(vec![upload]).await.pop().unwrap_or_else(impossible)
        })
    }

    fn upload_batch(&self, uploads: Vec<Upload>) -> BoxFuture<'_, Vec<Result<Uploaded>>> {
        let bytes: Option<u64> = uploads.iter().map(Upload::len).sum();
        let origin = self.base.url().origin();
        let span = tracing::debug_span!("upload", %origin, files = uploads.len(), bytes);
        let work = async move {
            let mut results = Vec::with_capacity(uploads.len());
            for uploads in uploads.chunks(MAX_FILES) {
                results.append(&mut self.upload_together(uploads).await);
            }
            results
        };
        Box::pin(work.instrument(span))
    }

    /// Deletes one file, or an upload with whatever is in it; what is not there any more counts as deleted.
    fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match handle.split(' ').collect::<Vec<_>>()[..] {
                // The token would tell another server how to delete the file.
                [base, path, token] if base == self.base.as_str() && path.contains('/') => {
                    self.delete_file(path, token).await
                }
                [base, id, token] if base == self.base.as_str() => self.delete_upload(id, token).await,
                _ => Err(Error::new(ErrorKind::Misuse, "this upload was not made by this store")),
            }
        })
    }

    /// Credentials are sent along only to the server itself and its download domain.
    fn download<'a>(&'a self, url: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
        Box::pin(download(&self.client, url, Reach::everywhere(), self.authorization(url)))
    }

    fn resume<'a>(
        &'a self,
        url: &'a LinkUrl,
        from: u64,
        validator: &'a str,
    ) -> BoxFuture<'a, Result<Download>> {
        Box::pin(resume(&self.client, url, Reach::everywhere(), self.authorization(url), from, validator))
    }

    fn origins(&self) -> Vec<Origin> {
        vec![self.base.url().origin().clone()]
    }

    /// The download domain in the server's `/config`, if it has one.
    fn announced_origins(&self) -> BoxFuture<'_, Result<Vec<Origin>>> {
        Box::pin(async move {
            let known = self.domain().announced.clone();
            let domain = match known {
                Some(domain) => domain,
                None => {
                    let domain = self.fetch_config().await?;
                    *self.domain() = Domain { announced: Some(domain.clone()), latest: Some(domain.clone()) };
                    domain
                }
            };
            Ok(domain.map(|base| base.url().origin().clone()).into_iter().collect())
        })
    }

    fn max_url_len(&self, name: &str) -> usize {
        let domain = match &self.domain().latest {
            Some(domain) => domain.as_ref().map_or(0, |base| base.as_str().len()),
            None => MAX_DOMAIN,
        };
        let mut encoded = String::new();
        encode_segment(&safe_name(name), &mut encoded);
        self.base.as_str().len().max(domain) + "/file/".len() + MAX_ID + 1 + MAX_ID + 1 + encoded.len()
    }
}

impl Plik {
    /// One upload with all these files in it, sent in parallel.
    async fn upload_together(&self, uploads: &[Upload]) -> Vec<Result<Uploaded>> {
        let created = match self.create(uploads).await {
            Ok(created) => created,
            Err(error) => {
                // One refusal answers for all files.
                let copies = uploads.iter().skip(1).map(|_| Err(copy(&error))).collect::<Vec<_>>();
                return std::iter::once(Err(error)).chain(copies).collect();
            }
        };
        let unknown = AtomicBool::new(false);
        let files = uploads.iter().map(|upload| {
            let added = self.add(&created, upload, &unknown);
            Box::pin(added) as BoxFuture<'_, _>
        });
        let mut results = join_in_order(files, self.parallel).await;
        // Without any file that is wanted, the caller deletes the whole upload.
        if unknown.into_inner() && results.iter().any(Result::is_ok) {
            let swept = self.sweep(&created, &results).await;
            if let (Err(cleanup), Some(slot)) = (swept, results.iter_mut().find(|result| result.is_err())) {
                let failed = |error: Error| error.with_cleanup(cleanup);
                *slot = std::mem::replace(slot, Err(Error::new(ErrorKind::Bug, "no result"))).map_err(failed);
            }
        }
        results
    }

    /// Deletes the files of an upload that nobody has heard of: their answers were lost.
    async fn sweep(&self, created: &Created, results: &[Result<Uploaded>]) -> Result<()> {
        let url = self.url(&format!("/upload/{}", created.id))?;
        let request = self.request(Method::GET, &url).header("x-uploadtoken", Some(&created.token));
        let mut reply = self.send(request, Direction::Upload, &[&created.id, &created.token]).await?;
        let listed = reply::listed(&reply.read(MAX_ANSWER).await?).map_err(|why| self.nonsense(why))?;
        for (id, name) in listed {
            let start = format!("{} {}/{id}/", self.base.as_str(), created.id);
            let known = results.iter().flatten().any(|uploaded| uploaded.handle().starts_with(&start));
            if !known {
                let mut path = format!("{}/{id}/", created.id);
                encode_segment(&name, &mut path);
                self.delete_file(&path, &created.token).await?;
            }
        }
        Ok(())
    }

    /// Creates the upload, and announces it.
    async fn create(&self, uploads: &[Upload]) -> Result<Created> {
        let description = self.description()?;
        let url = self.url("/upload")?;
        let request = self
            .request(Method::POST, &url)
            .header("x-pliktoken", self.token.as_deref())
            .body("application/json", Bytes::from(description));
        let mut reply = self.send(request, Direction::Upload, &[]).await?;
        let created = reply::created(&reply.read(MAX_ANSWER).await?).map_err(|why| self.nonsense(why))?;
        self.domain().latest = Some(created.domain.clone());
        for upload in uploads {
            upload.announce(format!("{} {} {}", self.base.as_str(), created.id, created.token)).await?;
        }
        Ok(created)
    }

    /// Adds a file. Sets `unknown` if it may have become one without anybody having been told its id.
    async fn add(&self, created: &Created, upload: &Upload, unknown: &AtomicBool) -> Result<Uploaded> {
        let name = safe_name(upload.name());
        let url = self.url(&format!("/file/{}", created.id))?;
        let mut content = upload.open().await?;
        let md5 = self.verify_md5.then(|| content.hash_md5());
        let counted = content.counter();
        let (content_type, head, tail) = form(&name);
        let body = RequestBody { head: VecDeque::from([head]), content: Some(content), tail: Some(tail) };
        let request = self
            .request(Method::POST, &url)
            .header("x-pliktoken", self.token.as_deref())
            .header("x-uploadtoken", Some(&created.token))
            .body(&content_type, body);
        let lost = |error: Error| {
            // What the server has refused, it does not have.
            unknown.fetch_or(error.kind() != ErrorKind::UploadRejected, Ordering::Relaxed);
            error
        };
        let reply = self.send(request, Direction::Upload, &[&created.id, &created.token]).await;
        let answer = reply.map_err(lost)?.read(MAX_ANSWER).await;
        let added = reply::added(&answer.map_err(lost)?).map_err(|why| {
            unknown.store(true, Ordering::Relaxed);
            self.nonsense(why)
        })?;

        let mut path = format!("{}/{}/", created.id, added.id);
        encode_segment(&added.name, &mut path);
        let handle = format!("{} {path} {}", self.base.as_str(), created.token);
        upload.announce(handle.as_str()).await?;
        let md5 = match md5 {
            Some(md5) => match md5.await {
                Ok(md5) => Some(md5.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
                // An answer that came before all bytes were read is about other bytes.
                Err(_) => Some(String::new()),
            },
            None => None,
        };
        let len = upload.len().unwrap_or_else(|| counted.load(Ordering::Relaxed));
        if let Err(error) = self.check(&added, &name, len, md5.as_deref()) {
            return Err(match self.delete_file(&path, &created.token).await {
                Ok(()) => error,
                Err(cleanup) => error.with_cleanup(cleanup),
            });
        }
        let base = created.domain.as_ref().unwrap_or(&self.base);
        let url = LinkUrl::parse(&format!("{}/file/{path}", base.as_str()))
            .map_err(|error| self.nonsense("the link would be no URL").with_source(error))?;
        let uploaded = Uploaded::new(url).with_handle(handle);
        Ok(match created.expires_at {
            Some(expires_at) => uploaded.with_expiry(expires_at),
            None => uploaded,
        })
    }

    /// Whether the server has what was sent to it.
    fn check(&self, added: &reply::Added, name: &str, len: u64, md5: Option<&str>) -> Result<()> {
        let origin = self.base.url().origin();
        // Sending it again may well bring it whole.
        let damaged =
            |what: String| Error::new(ErrorKind::UploadUnavailable, format!("{origin} stored {what}"));
        match added.size {
            Some(size) if size == len => {}
            Some(size) => return Err(damaged(format!("{size} bytes instead of {len}"))),
            None => return Err(self.nonsense("there is no fileSize")),
        }
        if added.status.as_deref().is_some_and(|status| status != "uploaded") {
            return Err(damaged("the file, but does not offer it".to_owned()));
        }
        if let Some(md5) = md5
            && !added.md5.as_deref().is_some_and(|other| other.eq_ignore_ascii_case(md5))
        {
            return Err(damaged("other bytes than those that were sent: their MD5 differs".to_owned()));
        }
        let encoded_len = |name: &str| {
            let mut encoded = String::new();
            encode_segment(name, &mut encoded);
            encoded.len()
        };
        if encoded_len(&added.name) > encoded_len(name) {
            return Err(self.nonsense("the fileName is longer than the one that was sent"));
        }
        Ok(())
    }

    /// `path` is `upload/file/name`, encoded.
    async fn delete_file(&self, path: &str, token: &str) -> Result<()> {
        self.delete_at(&format!("/file/{path}"), token).await
    }

    async fn delete_upload(&self, id: &str, token: &str) -> Result<()> {
        self.delete_at(&format!("/upload/{id}"), token).await
    }

    async fn delete_at(&self, path: &str, token: &str) -> Result<()> {
        let url = self.url(path)?;
        let request = self.request(Method::DELETE, &url).header("x-uploadtoken", Some(token));
        let mut reply = self.client.send(request, Direction::Upload).await?;
        match reply.status() {
            200..=299 | 404 => Ok(()),
            _ => {
                // Whoever knows the ids can fetch the file.
                let ids = path.split('/').filter(|part| !matches!(*part, "" | "file" | "upload")).take(2);
                let secrets: Vec<&str> = ids.chain([token]).collect();
                Err(self.refusal(&mut reply, Direction::Upload, &secrets).await)
            }
        }
    }

    async fn fetch_config(&self) -> Result<Option<Base>> {
        let url = self.url("/config")?;
        let mut reply = self.client.send(self.request(Method::GET, &url), Direction::Download).await?;
        match reply.status() {
            200 => {}
            // Other servers speak Plik's protocol without this page; then nothing is announced.
            404 | 405 => return Ok(None),
            _ => return Err(self.refusal(&mut reply, Direction::Download, &[]).await),
        }
        reply::config(&reply.read(MAX_ANSWER).await?).map_err(|why| {
            let origin = self.base.url().origin();
            Error::new(ErrorKind::LinkRejected, format!("{origin} is configured in no usable way: {why}"))
        })
    }

    /// A request to this server, with the credentials that every one of them carries.
    fn request<'a>(&self, method: Method, url: &'a LinkUrl) -> Request<'a> {
        Request::new(method, url).header("authorization", self.auth.as_ref().map(options::Auth::header))
    }

    /// Sends a request and insists on 200.
    async fn send(&self, request: Request<'_>, direction: Direction, secrets: &[&str]) -> Result<Reply> {
        let mut reply = self.client.send(request, direction).await?;
        if reply.status() == 200 {
            return Ok(reply);
        }
        Err(self.refusal(&mut reply, direction, secrets).await)
    }

    /// The error for an answer, with the server's own words, in which no secret is repeated.
    async fn refusal(&self, reply: &mut Reply, direction: Direction, secrets: &[&str]) -> Error {
        let words = reply.read_words().await;
        let auth = self.auth.as_ref();
        let own = [self.token.as_deref(), auth.map(options::Auth::password)].into_iter().flatten();
        let header = auth.into_iter().flat_map(|auth| secrets_of_header(auth.header()));
        let secrets: Vec<&str> = own.chain(header).chain(secrets.iter().copied()).collect();
        status_error(direction, self.base.url().origin(), reply, Some(&words.snippet(&secrets)))
    }

    fn nonsense(&self, why: Nonsense) -> Error {
        let origin = self.base.url().origin();
        Error::new(ErrorKind::UploadRejected, format!("the answer of {origin} makes no sense: {why}"))
    }

    fn url(&self, path: &str) -> Result<LinkUrl> {
        LinkUrl::parse(&format!("{}{path}", self.base.as_str())).map_err(|error| {
            Error::new(ErrorKind::Misuse, "the base URL of the file server is too long").with_source(error)
        })
    }

    /// Credentials, if the link is on the server itself.
    fn authorization(&self, url: &LinkUrl) -> Option<&str> {
        self.auth.as_ref().filter(|_| self.is_own(url.origin())).map(options::Auth::header)
    }

    /// Whether an origin is this server's, so that it may see the credentials for it.
    fn is_own(&self, origin: &Origin) -> bool {
        let base = self.base.url().origin();
        // What is protected on the way to the server is not sent in the clear elsewhere.
        let as_safe = origin.scheme() == Scheme::Https || base.scheme() == Scheme::Http;
        let domain = self.domain().clone();
        let domains = [domain.announced, domain.latest];
        origin == base
            || as_safe && domains.iter().flatten().flatten().any(|domain| domain.url().origin() == origin)
    }

    fn domain(&self) -> MutexGuard<'_, Domain> {
        self.domain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Plik {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |secret: bool| if secret { "…" } else { "none" };
        f.debug_struct("Plik")
            .field("base", self.base.url())
            .field("lifetime", &self.lifetime)
            .field("token", &set(self.token.is_some()))
            .field("basic_auth", &set(self.auth.is_some()))
            .field("protect_uploads", &self.protect_uploads)
            .field("verify_md5", &self.verify_md5)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}

/// The same refusal once more; sources stay with the first.
fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.explanation().to_owned());
    match error.retry_after() {
        Some(wait) => copy.with_retry_after(wait),
        None => copy,
    }
}
