//! Adding a file: `POST /file/{upload}`, `POST /file/{upload}/{file}/{name}` and the quick `POST /`.
//!
//! The body goes to disk batch by batch, with its MD5 computed on the way; a request holds two batches of 256 KiB in
//! memory, whatever the size of the file and of its pieces.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap};

use super::answer::Failure;
use super::create::check_file;
use super::describe::human_size;
use super::multipart::{Event, Multipart};
use super::routes::{RequestBody, Shared};
use super::sniff::{SNIFF_LEN, media_type};
use super::uploads::{Address, Caller, File, NewFile, Status, Uploads};

/// Which file a request adds.
#[derive(Debug)]
pub(super) enum Target {
    /// A new one.
    New { upload: String },
    /// One that was declared when the upload was created.
    Declared(Address),
}

/// Receives the first part named `file` of a multipart body.
///
/// Parts before it are skipped and whatever follows it is ignored. Everything that can be refused without
/// the body is refused before it is read.
pub(super) async fn add_file(
    shared: &Shared,
    target: Target,
    caller: &Caller,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<File, Failure> {
    let denied = || Failure::forbidden("you are not allowed to add file to this upload");
    let allow = |admin: bool| if admin { Ok(()) } else { Err(denied()) };
    match &target {
        Target::New { upload } => shared.uploads.with_upload(upload, caller, |_, admin| allow(admin))?,
        Target::Declared(address) => {
            shared.uploads.with_file(address, caller, |_, _, admin| allow(admin))?;
        }
    }
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let mut parts = Multipart::new(content_type).map_err(invalid_form)?;
    let name = find_file_part(&mut parts, body).await?;
    let mut receiving = match target {
        Target::New { upload } => {
            let new = NewFile { name, ..NewFile::default() };
            check_file(&new, shared.options.max_file_size)
                .map_err(|reason| Failure::bad_request(format!("unable to create file : {reason}")))?;
            let file = shared.uploads.add_file(&upload, caller, new, shared.options.max_files_per_upload)?;
            Receiving::start(&shared.uploads, upload, file.id)?
        }
        Target::Declared(address) if address.name != name => {
            return Err(Failure::bad_request("invalid file name"));
        }
        Target::Declared(address) => Receiving::start(&shared.uploads, address.upload, address.file)?,
    };
    receiving.receive(&mut parts, body, shared.options.max_file_size).await
}

/// Reads up to the first part named `file` and returns the last component of its file name.
async fn find_file_part(parts: &mut Multipart, body: &mut RequestBody) -> Result<Vec<u8>, Failure> {
    loop {
        match parts.poll_event().map_err(|_| invalid_form("headers too long"))? {
            Event::Part(headers) if headers.name.as_deref() == Some(b"file") => {
                return match headers.file_name.as_deref() {
                    None | Some([]) => Err(Failure::bad_request("missing file name from multipart form")),
                    Some(name) => Ok(base_name(name).to_vec()),
                };
            }
            Event::Part(_) | Event::Data(_) | Event::PartEnd => {}
            Event::End => return Err(Failure::bad_request("missing file from multipart form")),
            Event::NeedMore => match body.chunk().await {
                Ok(Some(chunk)) => parts.feed(&chunk),
                Ok(None) | Err(_) => return Err(invalid_form("multipart: NextPart: EOF")),
            },
        }
    }
}

fn invalid_form(reason: &str) -> Failure {
    Failure::bad_request(format!("invalid multipart form : {reason}"))
}

/// What is after the last slash; only slashes make a name of one slash.
fn base_name(name: &[u8]) -> &[u8] {
    let Some(end) = name.iter().rposition(|byte| *byte != b'/') else { return b"/" };
    let start = name[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    &name[start..=end]
}

/// A file in status `uploading`. Dropped before it is complete, for whatever reason, it leaves a `deleted`
/// file of size 0 and nothing on disk.
struct Receiving<'a> {
    uploads: &'a Uploads,
    upload_id: String,
    file_id: String,
    /// `received <= max_file_size`, and so much of the total is reserved.
    received: u64,
    complete: bool,
}

impl<'a> Receiving<'a> {
    fn start(uploads: &'a Uploads, upload_id: String, file_id: String) -> Result<Self, Failure> {
        let start = |file: &mut File| match file.status {
            Status::Missing => {
                file.status = Status::Uploading;
                Ok(())
            }
            other => {
                let message = format!("invalid file status {}, expected missing", other.as_str());
                Err(Failure::bad_request(message))
            }
        };
        uploads.update_file(&upload_id, &file_id, start).unwrap_or_else(|| Err(vanished()))?;
        Ok(Self { uploads, upload_id, file_id, received: 0, complete: false })
    }

    async fn receive(
        &mut self,
        parts: &mut Multipart,
        body: &mut RequestBody,
        max_size: u64,
    ) -> Result<File, Failure> {
        let failed = |error: std::io::Error| Failure::internal("unable to save file", &error);
        let mut disk = self.uploads.storage().create(&self.file_id);
        let mut head: Vec<u8> = Vec::with_capacity(SNIFF_LEN);
        while let Some(data) = next_data(parts, body).await? {
            self.account(data.len() as u64, max_size)?;
            head.extend_from_slice(&data[..data.len().min(SNIFF_LEN - head.len())]);
            disk.write(&data).await.map_err(failed)?;
        }
        let md5 = disk.finish().await.map_err(failed)?;
        self.finish(hex(&md5), media_type(&head))
    }

    /// Counts the next bytes before they are written.
    fn account(&mut self, len: u64, max_size: u64) -> Result<(), Failure> {
        if self.received + len > max_size {
            let limit = human_size(max_size);
            return Err(Failure::bad_request(format!("file too big (limit is set to {limit})")));
        }
        if !self.uploads.reserve(len) {
            return Err(Failure::internal("unable to save file", &"the total size is used up"));
        }
        self.received += len;
        Ok(())
    }

    fn finish(&mut self, md5: String, media_type: &str) -> Result<File, Failure> {
        let size = i64::try_from(self.received).unwrap_or(i64::MAX);
        let finish = |file: &mut File| {
            // Deleted in the meantime, it stays deleted.
            (file.status == Status::Uploading).then(|| {
                file.status = Status::Uploaded;
                file.size = size;
                file.md5 = md5;
                file.media_type = media_type.to_owned();
                file.clone()
            })
        };
        let file = self.uploads.update_file(&self.upload_id, &self.file_id, finish).flatten();
        let file = file.ok_or_else(vanished)?;
        self.complete = true;
        Ok(file)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        if !self.complete {
            self.uploads.storage().delete(&self.file_id);
            self.uploads.release(self.received);
            self.uploads.update_file(&self.upload_id, &self.file_id, |file| {
                file.status = Status::Deleted;
                file.size = 0;
            });
        }
    }
}

/// The next bytes of the file; `None` at its end.
async fn next_data(parts: &mut Multipart, body: &mut RequestBody) -> Result<Option<Bytes>, Failure> {
    loop {
        match parts.poll_event() {
            Ok(Event::Data(data)) => return Ok(Some(data)),
            Ok(Event::NeedMore) => match body.chunk().await {
                Ok(Some(chunk)) => parts.feed(&chunk),
                // The `%s` is Plik's: it forgets to fill it in.
                Ok(None) | Err(_) => {
                    let message = "unable to read data from request body : %s";
                    return Err(Failure::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, message));
                }
            },
            // Within a part, nothing else comes but its end.
            Ok(_) | Err(_) => return Ok(None),
        }
    }
}

fn vanished() -> Failure {
    Failure::internal("unable to update file metadata", &"the file was removed")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::base_name;

    #[test]
    fn names_lose_their_folders() {
        let cases = [
            ("a.txt", "a.txt"),
            ("a/b/c.txt", "c.txt"),
            ("../../etc/passwd", "passwd"),
            (r"a\b", r"a\b"),
            ("dir/", "dir"),
            ("a//", "a"),
            ("/", "/"),
            ("//", "/"),
            ("..", ".."),
            ("x", "x"),
        ];
        for (name, base) in cases {
            assert_eq!(base_name(name.as_bytes()), base.as_bytes(), "{name}");
        }
    }
}
