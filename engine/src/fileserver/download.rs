//! `GET` and `HEAD` of a file: always the whole of it, and of a one-shot file only once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, PRAGMA};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Response};
use tokio::io::{AsyncRead, ReadBuf};

use super::answer::{Body, Failure, header_value};
use super::routes::Shared;
use super::sniff::served_type;
use super::uploads::{Address, Caller, File, Status, Uploads};

/// Answers with the file, or with its headers for `HEAD`.
///
/// A `GET` of a one-shot file consumes it here, before its first byte is read: a client that goes away
/// half-way has had its one shot. `HEAD`, and a `GET` that is refused, consume nothing.
pub(super) async fn get_file(
    shared: &Shared,
    address: Address,
    caller: &Caller,
    method: &Method,
    host: &[u8],
    attach: bool,
) -> Result<Response<Body>, Failure> {
    let get = method == Method::GET;
    let (file, one_shot) = shared.uploads.with_file(&address, caller, |upload, at, _| {
        check_host(shared, host)?;
        let file = &mut upload.files[at];
        if file.status != Status::Uploaded {
            let (name, status) = (String::from_utf8_lossy(&file.name), file.status.as_str());
            return Err(Failure::not_found(format!("file {name} ({}) is not available : {status}", file.id)));
        }
        if get && upload.params.one_shot {
            file.status = Status::Removed;
        }
        Ok((file.clone(), upload.params.one_shot))
    })?;
    // From here on the file is gone when this is dropped, whatever happens in between.
    let consumed = (get && one_shot).then(|| Consumed {
        uploads: Arc::clone(&shared.uploads),
        upload_id: address.upload,
        file_id: file.id.clone(),
    });

    let mut response = Response::new(Body::empty());
    set_headers(response.headers_mut(), &file, one_shot, attach);
    if get {
        *response.body_mut() = Body::File(FileBody::open(&shared.uploads, &file, consumed).await?);
    } else if file.size > 0 {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(file.size));
    }
    Ok(response)
}

/// With a download domain, files are given out under its name only.
fn check_host(shared: &Shared, host: &[u8]) -> Result<(), Failure> {
    match shared.options.download_host() {
        Some(expected) if expected.as_bytes() != host => {
            let host = String::from_utf8_lossy(host);
            Err(Failure::bad_request(format!("Invalid download domain {host}")))
        }
        _ => Ok(()),
    }
}

fn set_headers(headers: &mut HeaderMap, file: &File, one_shot: bool, attach: bool) {
    headers.insert(CONTENT_TYPE, header_value(served_type(&file.media_type).as_bytes()));
    if one_shot {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(EXPIRES, HeaderValue::from_static("0"));
    }
    // Neither form follows RFC 6266: both are Plik's, spelling and missing escapes included.
    let start = if attach { "attachement; filename=\"" } else { "filename=\"" };
    let disposition = [start.as_bytes(), &file.name, b"\""].concat();
    headers.insert(CONTENT_DISPOSITION, header_value(&disposition));
}

/// A file on its way to the client, read in chunks of [`CHUNK`] bytes as the client takes them.
pub(super) struct FileBody {
    disk: tokio::fs::File,
    remaining: u64,
    /// Only held: its drop, at the end of the transfer or of the connection, deletes a one-shot file.
    _consumed: Option<Consumed>,
}

impl FileBody {
    async fn open(uploads: &Uploads, file: &File, consumed: Option<Consumed>) -> Result<Self, Failure> {
        let disk = tokio::fs::File::open(uploads.path(&file.id)).await;
        let disk = disk.map_err(|error| Failure::internal("unable to get file from data backend", &error))?;
        Ok(Self { disk, remaining: file.size.unsigned_abs(), _consumed: consumed })
    }

    /// Bytes not handed out yet.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next chunk. A file that turns out shorter than recorded ends in an error, so that the client
    /// sees a broken transfer and not a complete one.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let len = usize::try_from(self.remaining).map_or(CHUNK, |remaining| remaining.min(CHUNK));
        let mut chunk = BytesMut::zeroed(len);
        let mut unread = ReadBuf::new(&mut chunk);
        if let Err(error) = ready!(Pin::new(&mut self.disk).poll_read(cx, &mut unread)) {
            return Poll::Ready(Some(Err(error)));
        }
        let read = unread.filled().len();
        if read == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        chunk.truncate(read);
        self.remaining -= read as u64;
        Poll::Ready(Some(Ok(chunk.freeze())))
    }
}

/// A one-shot file after its shot: `removed` while this lives, `deleted` once it is dropped.
struct Consumed {
    uploads: Arc<Uploads>,
    upload_id: String,
    file_id: String,
}

impl Drop for Consumed {
    fn drop(&mut self) {
        self.uploads.bury_file(&self.upload_id, &self.file_id);
    }
}

/// Chosen: large enough that the cost of a read is small beside the copy, small enough that a thousand
/// slow clients take 64 MB.
const CHUNK: usize = 64 * 1024;
