//! Uploads to any server that takes PUT or POST: a WebDAV folder, or presigned URLs.

mod template;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};

use self::template::{ID, Template};
use super::http::{Direction, HttpStore, Reply, Request, Words, secrets_of_header, status_error};
use super::origin::Origin;
use super::store::{BoxFuture, Upload, Uploaded};
use super::tls;
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

/// The default bound of presigned URLs.
const SIGNED_URL_LEN: usize = 2048;

type Signer = Arc<dyn Fn(String, Option<u64>) -> BoxFuture<'static, Result<SignedUrls>> + Send + Sync>;

/// How an [`HttpStore`] uploads; by default not at all.
#[derive(Clone)]
pub(super) struct Uploading {
    place: Option<Place>,
    post: bool,
    /// The value of `Authorization`.
    authorization: Option<String>,
    /// With what is replaced in error texts.
    password: Option<String>,
    headers: Vec<(String, String)>,
    lifetime: Option<Duration>,
    /// `None` is yes for templates and no for signed URLs.
    check_length: Option<bool>,
    signed_url_len: usize,
}

#[derive(Clone)]
enum Place {
    Templates { upload: Template, download: Option<Template>, delete: Delete },
    Signed(Signer),
}

#[derive(Clone)]
enum Delete {
    /// Where it was uploaded to.
    There,
    At(Template),
    Never,
}

impl Default for Uploading {
    fn default() -> Self {
        Self {
            place: None,
            post: false,
            authorization: None,
            password: None,
            headers: Vec::new(),
            lifetime: None,
            check_length: None,
            signed_url_len: SIGNED_URL_LEN,
        }
    }
}

/// The URLs of one upload, as an object store's presigner makes them. `Debug` hides them: each is a secret.
///
/// # Examples
/// ```
/// use natsbridge::link::SignedUrls;
///
/// let urls = SignedUrls::new("https://bucket.example/k?X-Sig=put", "https://bucket.example/k?X-Sig=get")?
///     .delete("https://bucket.example/k?X-Sig=delete")?
///     .header("content-type", "application/octet-stream")?;
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct SignedUrls {
    upload: LinkUrl,
    download: LinkUrl,
    delete: Option<LinkUrl>,
    headers: Vec<(String, String)>,
    expires_at: Option<SystemTime>,
}

impl SignedUrls {
    /// Where the bytes go, and the link that receivers fetch them from.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if one is no `http` or `https` URL.
    pub fn new(upload: &str, download: &str) -> Result<Self> {
        let (upload, download) = (signed(upload)?, signed(download)?);
        Ok(Self { upload, download, delete: None, headers: Vec::new(), expires_at: None })
    }

    /// Where a DELETE takes it back. Without it, a failed send leaves the file to its lifetime.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn delete(mut self, url: &str) -> Result<Self> {
        self.delete = Some(signed(url)?);
        Ok(self)
    }

    /// Adds a header to the upload, because the signature asks for it.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] for what HTTP cannot carry.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        self.headers.push(header(name, value)?);
        Ok(self)
    }

    /// Says when the link stops to work.
    #[must_use]
    pub fn expires_at(mut self, time: SystemTime) -> Self {
        self.expires_at = Some(time);
        self
    }
}

impl fmt::Debug for SignedUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A `LinkUrl` prints its origin only.
        f.debug_struct("SignedUrls")
            .field("upload", &self.upload)
            .field("download", &self.download)
            .field("delete", &self.delete)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

fn signed(url: &str) -> Result<LinkUrl> {
    LinkUrl::parse(url)
        .map_err(|error| Error::new(ErrorKind::Misuse, "a signed URL cannot be used").with_source(error))
}

fn header(name: &str, value: &str) -> Result<(String, String)> {
    let valid = HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
    // The value may be a secret, and so may a name that is a value in the wrong place.
    match valid {
        true => Ok((name.to_ascii_lowercase(), value.to_owned())),
        false => Err(Error::new(ErrorKind::Misuse, "a header has characters that HTTP cannot carry")),
    }
}

/// Uploading.
impl HttpStore {
    /// Uploads with PUT to URLs made of a template with an `{id}`, which nobody can guess, and a `{name}` if you like, such
    /// as `https://dav.example/links/{id}-{name}`. Links are the same URLs unless [`download_from`](Self::download_from) says
    /// otherwise, and are deleted with DELETE unless [`delete_at`](Self::delete_at) or
    /// [`without_delete`](Self::without_delete) does.
    ///
    /// A WebDAV server makes no folders by itself: use places for `{id}` and `{name}` in one existing folder, as above.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] for a template that makes no URL, has no `{id}`, or has a place in front of its path.
    pub fn upload_to(mut self, template: &str) -> Result<Self> {
        let upload = Template::parse(template, "template for uploads")?;
        self.uploading.place = Some(Place::Templates { upload, download: None, delete: Delete::There });
        Ok(self)
    }

    /// Makes links by another template than uploads. To be called after [`upload_to`](Self::upload_to).
    ///
    /// # Errors
    /// As [`upload_to`](Self::upload_to).
    pub fn download_from(mut self, template: &str) -> Result<Self> {
        let template = Template::parse(template, "template for downloads")?;
        *self.templates()?.0 = Some(template);
        Ok(self)
    }

    /// Deletes at the URLs of another template than uploads. To be called after [`upload_to`](Self::upload_to).
    ///
    /// # Errors
    /// As [`upload_to`](Self::upload_to).
    pub fn delete_at(mut self, template: &str) -> Result<Self> {
        let template = Template::parse(template, "template for deletions")?;
        *self.templates()?.1 = Delete::At(template);
        Ok(self)
    }

    /// Never deletes: what failed sends leave behind stays until the server removes it. To be called after
    /// [`upload_to`](Self::upload_to).
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if it is not.
    pub fn without_delete(mut self) -> Result<Self> {
        *self.templates()?.1 = Delete::Never;
        Ok(self)
    }

    /// Uploads to URLs that a function gives out one upload at a time, such as presigned ones of an object store. It gets
    /// the upload's name and its length, if that is known; its errors are the upload's.
    ///
    /// Nothing but the headers of [`SignedUrls::header`] is sent along: the URL itself is the permission. Receivers have to
    /// allow the links' origin.
    ///
    /// # Examples
    /// ```
    /// use natsbridge::link::{HttpStore, SignedUrls};
    ///
    /// let store = HttpStore::new().upload_signed(|name, _len| async move {
    ///     // A request to your own signing service would be here.
    ///     SignedUrls::new(&format!("https://b.example/{name}?put"), &format!("https://b.example/{name}?get"))
    /// });
    /// ```
    #[must_use]
    pub fn upload_signed<F, R>(mut self, sign: F) -> Self
    where
        F: Fn(String, Option<u64>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<SignedUrls>> + Send + 'static,
    {
        let sign: Signer = Arc::new(move |name, len| Box::pin(sign(name, len)));
        self.uploading.place = Some(Place::Signed(sign));
        self
    }

    /// Uploads with POST instead of PUT. The body is the file's bytes, not a form.
    #[must_use]
    pub fn post(mut self) -> Self {
        self.uploading.post = true;
        self
    }

    /// Sends login and password (HTTP Basic) with every request to the origins of the templates, downloads included, and to
    /// no other place.
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: impl Into<String>) -> Self {
        let password = password.into();
        let encoded = base64_simd::STANDARD.encode_to_string(format!("{user}:{password}"));
        self.uploading.authorization = Some(format!("Basic {encoded}"));
        self.uploading.password = Some(password);
        self
    }

    /// Sends a token (`Authorization: Bearer …`) where [`basic_auth`](Self::basic_auth) would send login and password.
    #[must_use]
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.uploading.authorization = Some(format!("Bearer {token}"));
        self.uploading.password = Some(token);
        self
    }

    /// Adds a header to uploads, checks and deletions at the origins of the templates.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] for what HTTP cannot carry.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        self.uploading.headers.push(header(name, value)?);
        Ok(self)
    }

    /// Says how long the server keeps files, which receivers are told. Default: not known.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.uploading.lifetime = Some(lifetime);
        self
    }

    /// Sets whether to ask with HEAD, after an upload, how long the file is that receivers will get. Default: yes for
    /// templates, no for signed URLs, which are good for one method only.
    #[must_use]
    pub fn check_length(mut self, check: bool) -> Self {
        self.uploading.check_length = Some(check);
        self
    }

    /// Sets the upper bound of signed links, in bytes; a longer one is an error. Default 2,048 (chosen).
    #[must_use]
    pub fn max_url_bytes(mut self, bytes: usize) -> Self {
        self.uploading.signed_url_len = bytes;
        self
    }

    fn templates(&mut self) -> Result<(&mut Option<Template>, &mut Delete)> {
        match &mut self.uploading.place {
            Some(Place::Templates { download, delete, .. }) => Ok((download, delete)),
            _ => Err(Error::new(ErrorKind::Misuse, "give the template for uploads first: see upload_to")),
        }
    }

    pub(super) async fn put(&self, upload: Upload) -> Result<Uploaded> {
        let Some(place) = &self.uploading.place else {
            return Err(Error::new(ErrorKind::Misuse, "this store only downloads: see upload_to"));
        };
        let urls = place.urls(&upload).await?;
        if urls.download.as_str().len() > self.max_link_len(upload.name()) {
            let what = "the signed URL is longer than max_url_bytes allows";
            let sizes = (urls.download.as_str().len() as u64, self.uploading.signed_url_len as u64);
            return Err(Error::new(ErrorKind::UploadRejected, what).with_size(sizes.0, sizes.1));
        }
        let handle = urls.delete.as_ref().map(|url| url.as_str().to_owned());
        if let Some(handle) = &handle {
            upload.announce(handle.as_str()).await?;
        }
        let len = self.send_body(&urls, &upload).await?;
        let check = self.uploading.check_length.unwrap_or(matches!(place, Place::Templates { .. }));
        if check && let Err(error) = self.check(&urls.download, len).await {
            let Some(handle) = &handle else { return Err(error) };
            return Err(match self.remove(handle).await {
                Ok(()) => error,
                Err(cleanup) => error.with_cleanup(cleanup),
            });
        }
        let lifetime = self.uploading.lifetime;
        let expires_at = urls.expires_at.or_else(|| SystemTime::now().checked_add(lifetime?));
        let mut uploaded = Uploaded::new(urls.download);
        if let Some(handle) = handle {
            uploaded = uploaded.with_handle(handle);
        }
        Ok(match expires_at {
            Some(expires_at) => uploaded.with_expiry(expires_at),
            None => uploaded,
        })
    }

    /// How many bytes went out.
    async fn send_body(&self, urls: &SignedUrls, upload: &Upload) -> Result<u64> {
        let body = upload.open().await?;
        let counter = body.counter();
        let method = if self.uploading.post { Method::POST } else { Method::PUT };
        let own = self.headers_for(&urls.upload).iter().chain(&urls.headers);
        let content_type = own.clone().find(|(name, _)| name == "content-type");
        let content_type = content_type.map_or("application/octet-stream", |(_, value)| value);
        let mut request = self.request(method, &urls.upload).body(content_type, body);
        for (name, value) in own.filter(|(name, _)| name != "content-type") {
            request = request.header(name.clone(), Some(value));
        }
        let mut reply = self.client.send(request, Direction::Upload).await?;
        match reply.status() {
            200 | 201 | 204 => {}
            202 => {
                let what = "promises to store the file later, which no receiver can wait for";
                return Err(Error::new(
                    ErrorKind::UploadRejected,
                    format!("{} {what}", urls.upload.origin()),
                ));
            }
            _ => return Err(self.refusal(&mut reply, &urls.upload).await),
        }
        let sent = counter.load(Ordering::Relaxed);
        match upload.len() {
            Some(len) if sent < len => {
                let origin = urls.upload.origin();
                let what =
                    format!("{origin} says that it has stored {len} bytes of which it was sent {sent}");
                Err(Error::new(ErrorKind::UploadRejected, what))
            }
            _ => Ok(sent),
        }
    }

    /// Whether receivers will get as many bytes as were sent.
    async fn check(&self, url: &LinkUrl, len: u64) -> Result<()> {
        let origin = url.origin();
        let mut request = self.request(Method::HEAD, url);
        for (name, value) in self.headers_for(url) {
            request = request.header(name.clone(), Some(value));
        }
        let reply = self.client.send(request, Direction::Upload).await?;
        let stored = reply.header("content-length").and_then(|text| text.trim().parse::<u64>().ok());
        match (reply.status(), stored) {
            (200, Some(stored)) if stored == len => Ok(()),
            // Sending it again may well bring it whole.
            (200, Some(stored)) => {
                let what = format!("{origin} stored {stored} bytes instead of {len}");
                Err(Error::new(ErrorKind::UploadUnavailable, what))
            }
            // Some servers say nothing of an empty file.
            (200, None) if len == 0 => Ok(()),
            (200, None) => {
                let what = "does not say how long the stored file is; see check_length";
                Err(Error::new(ErrorKind::UploadRejected, format!("{origin} {what}")))
            }
            _ => {
                let what = "the stored file cannot be asked for its length; see check_length";
                Err(status_error(Direction::Upload, origin, &reply, Some(what)))
            }
        }
    }

    /// Deletes what was announced with this handle, which is a URL.
    pub(super) async fn remove(&self, handle: &str) -> Result<()> {
        let not_ours = || Error::new(ErrorKind::Misuse, "this upload was not made by this store");
        let url = LinkUrl::parse(handle).map_err(|_| not_ours())?;
        match &self.uploading.place {
            Some(Place::Templates { upload, delete, .. }) => {
                let origin = match delete {
                    Delete::There => upload.origin(),
                    Delete::At(template) => template.origin(),
                    Delete::Never => return Err(Error::new(ErrorKind::Misuse, "this store cannot delete")),
                };
                if url.origin() != origin {
                    return Err(not_ours());
                }
            }
            Some(Place::Signed(_)) => {}
            None => return Err(Error::new(ErrorKind::Misuse, "this store only downloads: see upload_to")),
        }
        let mut request = self.request(Method::DELETE, &url);
        for (name, value) in self.headers_for(&url) {
            request = request.header(name.clone(), Some(value));
        }
        let mut reply = self.client.send(request, Direction::Upload).await?;
        match reply.status() {
            200..=299 | 404 | 410 => Ok(()),
            _ => Err(self.refusal(&mut reply, &url).await),
        }
    }

    /// The credentials for an origin, if it is this store's own.
    pub(super) fn authorization(&self, origin: &Origin) -> Option<&str> {
        self.uploading.authorization.as_deref().filter(|_| self.is_own(origin))
    }

    pub(super) fn own_origins(&self) -> Vec<Origin> {
        match &self.uploading.place {
            Some(Place::Templates { upload, download, .. }) => {
                vec![download.as_ref().unwrap_or(upload).origin().clone()]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn max_link_len(&self, name: &str) -> usize {
        match &self.uploading.place {
            Some(Place::Templates { upload, download, .. }) => {
                let template = download.as_ref().unwrap_or(upload);
                template.url(ID, name).map_or(LinkUrl::MAX_LEN, |url| url.as_str().len())
            }
            Some(Place::Signed(_)) => self.uploading.signed_url_len,
            // Nothing is ever uploaded, so this is never counted with; the longest URL keeps the promise all the same.
            None => LinkUrl::MAX_LEN,
        }
    }

    fn is_own(&self, origin: &Origin) -> bool {
        let Some(Place::Templates { upload, download, delete }) = &self.uploading.place else { return false };
        let delete = match delete {
            Delete::At(template) => Some(template),
            _ => None,
        };
        [Some(upload), download.as_ref(), delete].into_iter().flatten().any(|own| own.origin() == origin)
    }

    fn request<'a>(&self, method: Method, url: &'a LinkUrl) -> Request<'a> {
        Request::new(method, url).header("authorization", self.authorization(url.origin()))
    }

    fn headers_for(&self, url: &LinkUrl) -> &[(String, String)] {
        if self.is_own(url.origin()) { &self.uploading.headers } else { &[] }
    }

    /// The error for an answer. A server's own words are repeated only where it is known what in them would be secret.
    async fn refusal(&self, reply: &mut Reply, url: &LinkUrl) -> Error {
        let words = match self.is_own(url.origin()) {
            true => reply.read_words().await,
            false => Words::default(),
        };
        let path = url.path_and_query();
        let mut secrets = vec![path];
        secrets.extend(self.uploading.password.as_deref());
        secrets.extend(self.uploading.authorization.as_deref().into_iter().flat_map(secrets_of_header));
        secrets.extend(self.uploading.headers.iter().flat_map(|(_, value)| secrets_of_header(value)));
        status_error(Direction::Upload, url.origin(), reply, Some(&words.snippet(&secrets)))
    }
}

impl Place {
    async fn urls(&self, upload: &Upload) -> Result<SignedUrls> {
        let (to, from, delete) = match self {
            Self::Signed(sign) => return sign(upload.name().to_owned(), upload.len()).await,
            Self::Templates { upload, download, delete } => (upload, download, delete),
        };
        let id = tls::random_id()?;
        let url = |template: &Template| template.url(&id, upload.name());
        let to = url(to)?;
        Ok(SignedUrls {
            download: from.as_ref().map_or_else(|| Ok(to.clone()), url)?,
            delete: match delete {
                Delete::There => Some(to.clone()),
                Delete::At(template) => Some(url(template)?),
                Delete::Never => None,
            },
            upload: to,
            headers: Vec::new(),
            expires_at: None,
        })
    }
}

impl fmt::Debug for Uploading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.place {
            None => "nowhere".to_owned(),
            Some(Place::Templates { upload, .. }) => upload.origin().to_string(),
            Some(Place::Signed(_)) => "signed URLs".to_owned(),
        };
        f.debug_struct("Uploading")
            .field("to", &origin)
            .field("post", &self.post)
            .field("authorization", &if self.authorization.is_some() { "…" } else { "none" })
            .field("headers", &self.headers.len())
            .field("lifetime", &self.lifetime)
            .field("check_length", &self.check_length)
            .finish_non_exhaustive()
    }
}
