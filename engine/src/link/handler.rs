//! A store made of closures, for file servers that need only a few lines.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::origin::Origin;
use super::store::{BoxFuture, Download, LinkStore, Upload, Uploaded};
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

type UploadHandler = Arc<dyn Fn(String, Bytes) -> BoxFuture<'static, Result<String>> + Send + Sync>;
type DownloadHandler = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Bytes>> + Send + Sync>;
type DeleteHandler = Arc<dyn Fn(String) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A [`LinkStore`] whose work is done by the caller's own functions.
///
/// A handler makes one attempt; its error's kind says whether another is worth it. What a download handler returns is
/// checked for size and digest like any download. Handlers see whole payloads, in one piece.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use natsbridge::link::{HandlerStore, Origin};
///
/// let store = HandlerStore::new()
///     .on_upload(|name, bytes: Bytes| async move { Ok(format!("http://files/{}/{name}", bytes.len())) })
///     .on_download(|_url| async { Ok(Bytes::from_static(b"hello")) })
///     .origin(Origin::parse("http://files")?);
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct HandlerStore {
    upload: Option<UploadHandler>,
    download: Option<DownloadHandler>,
    delete: Option<DeleteHandler>,
    origins: Vec<Origin>,
    max_url_len: usize,
}

impl Default for HandlerStore {
    fn default() -> Self {
        Self { upload: None, download: None, delete: None, origins: Vec::new(), max_url_len: 1024 }
    }
}

impl HandlerStore {
    /// A store that can do nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how to upload: the name as the sender's user gave it and the bytes go in, the link's URL comes out.
    #[must_use]
    pub fn on_upload<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(String, Bytes) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String>> + Send + 'static,
    {
        self.upload = Some(Arc::new(move |name, bytes| Box::pin(handler(name, bytes))));
        self
    }

    /// Sets how to download: the URL goes in, the bytes come out.
    #[must_use]
    pub fn on_download<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Bytes>> + Send + 'static,
    {
        self.download = Some(Arc::new(move |url| Box::pin(handler(url))));
        self
    }

    /// Sets how to delete: the URL that the upload handler returned goes in.
    #[must_use]
    pub fn on_delete<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.delete = Some(Arc::new(move |url| Box::pin(handler(url))));
        self
    }

    /// Adds a place whose links a receiver with this store may fetch.
    #[must_use]
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origins.push(origin);
        self
    }

    /// Sets the upper bound of the URLs that the upload handler returns, in bytes; a longer one is an error.
    ///
    /// Default 1,024 (chosen). Messages are planned with it, so a bound near the truth leaves more room for payloads.
    #[must_use]
    pub fn max_url_bytes(mut self, bytes: usize) -> Self {
        self.max_url_len = bytes;
        self
    }
}

impl LinkStore for HandlerStore {
    fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
        Box::pin(async move {
            let handler = self.upload.as_ref().ok_or_else(|| missing("upload"))?;
            let name = upload.name().to_owned();
            let text = handler(name, upload.bytes().await?).await?;
            // Parsed here, so that a message never carries what no receiver could read.
            let url = LinkUrl::parse(&text).map_err(|error| {
                Error::new(ErrorKind::UploadRejected, "the upload handler returned no valid URL")
                    .with_source(error)
            })?;
            if url.as_str().len() > self.max_url_len {
                return Err(Error::new(
                    ErrorKind::UploadRejected,
                    "the upload handler returned a longer URL than max_url_bytes allows",
                )
                .with_size(url.as_str().len() as u64, self.max_url_len as u64));
            }
            // The handler gets back its own spelling when it is asked to delete.
            Ok(Uploaded::new(url).with_handle(text))
        })
    }

    fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let handler = self.delete.as_ref().ok_or_else(|| missing("delete"))?;
            handler(handle.to_owned()).await
        })
    }

    fn can_download(&self) -> bool {
        self.download.is_some()
    }

    fn download<'a>(&'a self, url: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
        Box::pin(async move {
            let handler = self.download.as_ref().ok_or_else(|| missing("download"))?;
            handler(url.as_str().to_owned()).await.map(Download::from_bytes)
        })
    }

    fn origins(&self) -> Vec<Origin> {
        self.origins.clone()
    }

    fn max_url_len(&self, _name: &str) -> usize {
        self.max_url_len
    }
}

impl fmt::Debug for HandlerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerStore")
            .field("upload", &self.upload.is_some())
            .field("download", &self.download.is_some())
            .field("delete", &self.delete.is_some())
            .field("origins", &self.origins)
            .field("max_url_len", &self.max_url_len)
            .finish()
    }
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Misuse, format!("this store has no {what} handler"))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Runs a future that never has to wait.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the future waits"),
        }
    }

    fn store() -> HandlerStore {
        HandlerStore::new()
            .on_upload(|name, bytes| async move { Ok(format!("http://h/{name} {}", bytes.len())) })
            .on_download(|url| async move { Ok(Bytes::from(url)) })
            .on_delete(|url| async move {
                assert_eq!(url, "http://h/a 3");
                Ok(())
            })
    }

    #[test]
    fn bytes_go_through_the_handlers() {
        let store = store();
        let upload = Upload::from_chunks("a", vec!["x".into(), "yz".into()]);
        let uploaded = now(store.upload(upload)).unwrap();
        assert_eq!(uploaded.url().as_str(), "http://h/a%203");
        let mut download = now(store.download(uploaded.url())).unwrap();
        assert_eq!(now(download.chunk()).unwrap().unwrap(), "http://h/a%203");
        assert_eq!(now(download.chunk()).unwrap(), None);
        now(store.delete(uploaded.handle())).unwrap();
    }

    #[test]
    fn a_batch_keeps_its_order() {
        let uploads = ["a", "bb", "c"].map(|name| Upload::new(name, Bytes::from_static(b"123")));
        let urls: Vec<_> = now(store().upload_batch(uploads.into()))
            .into_iter()
            .map(|uploaded| uploaded.unwrap().url().as_str().to_owned())
            .collect();
        assert_eq!(urls, ["http://h/a%203", "http://h/bb%203", "http://h/c%203"]);
    }

    #[test]
    fn what_was_not_given_cannot_be_used() {
        let store = HandlerStore::new();
        let url = LinkUrl::parse("http://h/").unwrap();
        let kinds = [
            now(store.upload(Upload::new("a", "b"))).unwrap_err().kind(),
            now(store.download(&url)).unwrap_err().kind(),
            now(store.delete("x")).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::Misuse; 3]);
    }

    #[test]
    fn a_url_that_no_receiver_could_use_is_refused() {
        for (text, max) in [("ftp://h/x", 100), ("http://h/0123456789", 18)] {
            let store = HandlerStore::new()
                .on_upload(move |_, _| async move { Ok(text.to_owned()) })
                .max_url_bytes(max);
            let error = now(store.upload(Upload::new("a", "b"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UploadRejected);
        }
    }
}
