//! `POST /upload`: reads what the client asks for, checks it against the options, and creates the upload.

use std::time::Duration;

use base64_simd::STANDARD;
use hyper::Response;
use hyper::header::AUTHORIZATION;
use serde_json::{Map, Value};

use super::answer::{Body, Failure, header_value, json};
use super::describe::{self, Format, human_size};
use super::ids::Secret;
use super::options::{MAX_TTL_SECS, Options};
use super::routes::{RequestBody, Shared};
use super::uploads::{NewFile, UploadParams};

/// Creates an upload from the JSON in the body.
pub(super) async fn create_upload(
    shared: &Shared,
    owned: bool,
    body: &mut RequestBody,
) -> Result<Response<Body>, Failure> {
    let asked = Asked::parse(&read_small(body).await?)?;
    let authorization = asked.authorization();
    let format = asked.format;
    let params = asked.check(&shared.options, owned).map_err(refused)?;
    let upload = shared.uploads.create(params);
    let upload = upload.map_err(|error| Failure::internal("create upload error", &error))?;

    let mut answer = describe::upload(&upload, true, &shared.options, format);
    if format == Format::Current && upload.files.is_empty() {
        answer["files"] = Value::Null; // only here; later answers say []
    }
    let mut response = json(&answer);
    if upload.params.credentials.is_some() {
        response.headers_mut().insert(AUTHORIZATION, header_value(authorization.as_bytes()));
    }
    Ok(response)
}

/// The parameters of an upload that asks for nothing.
pub(super) fn default_params(options: &Options, owned: bool) -> Result<UploadParams, Failure> {
    Asked::default().check(options, owned).map_err(refused)
}

fn refused(reason: String) -> Failure {
    Failure::bad_request(format!("unable to create upload : {reason}"))
}

/// The whole body, of at most [`MAX_BODY`] bytes.
async fn read_small(body: &mut RequestBody) -> Result<Vec<u8>, Failure> {
    let failed = |reason| Failure::bad_request(format!("unable to read request body : {reason}"));
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await.map_err(|_| failed("unexpected EOF"))? {
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(failed("http: request body too large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What the client asked for, before any rule is applied.
#[derive(Debug)]
struct Asked {
    one_shot: bool,
    removable: bool,
    stream: bool,
    extend_ttl: bool,
    ttl: i64,
    comments: String,
    login: String,
    password: String,
    files: Vec<NewFile>,
    format: Format,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            one_shot: false,
            removable: false,
            stream: false,
            extend_ttl: false,
            ttl: 0,
            comments: String::new(),
            login: String::new(),
            password: String::new(),
            files: Vec::new(),
            format: Format::Current,
        }
    }
}

impl Asked {
    /// Reads the JSON: keys in any letter case, unknown keys ignored, `null` as if absent.
    fn parse(body: &[u8]) -> Result<Self, Failure> {
        let failed =
            |reason: String| Failure::bad_request(format!("unable to deserialize request body : {reason}"));
        let mut asked = Self::default();
        if body.is_empty() {
            return Ok(asked);
        }
        let object = match serde_json::from_str(&String::from_utf8_lossy(body)) {
            Ok(Value::Null) => return Ok(asked),
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(failed("not an object".into())),
            Err(error) => return Err(failed(error.to_string())),
        };
        for (key, value) in object {
            asked.read_key(&key.to_ascii_lowercase(), value).map_err(failed)?;
        }
        Ok(asked)
    }

    fn read_key(&mut self, key: &str, value: Value) -> Result<(), String> {
        match key {
            "oneshot" => read_bool(key, value, &mut self.one_shot),
            "removable" => read_bool(key, value, &mut self.removable),
            "stream" => read_bool(key, value, &mut self.stream),
            "extend_ttl" => read_bool(key, value, &mut self.extend_ttl),
            "ttl" => read_int(key, value, &mut self.ttl),
            "comments" => read_text(key, value, &mut self.comments),
            "login" => read_text(key, value, &mut self.login),
            "password" => read_text(key, value, &mut self.password),
            "files" => self.read_files(value),
            // Of no effect, but of a type all the same.
            "admin" | "protectedbypassword" => read_bool(key, value, &mut false),
            "id" | "uploadtoken" | "user" | "token" | "downloaddomain" | "uploadip" => {
                read_text(key, value, &mut String::new())
            }
            _ => Ok(()),
        }
    }

    fn read_files(&mut self, value: Value) -> Result<(), String> {
        let files: Vec<Value> = match value {
            Value::Null => return Ok(()),
            Value::Array(files) => files,
            Value::Object(files) => {
                self.format = Format::Legacy;
                files.into_iter().map(|(_, file)| file).collect()
            }
            _ => return Err("files is not an array".into()),
        };
        self.files = files.into_iter().map(read_file).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The header that lets the creator read a protected upload.
    ///
    /// Without a login it does not work: the server then stores the login `plik`, and puts an empty one
    /// here. Plik does the same, so clients must send both.
    fn authorization(&self) -> String {
        format!("Basic {}", STANDARD.encode_to_string(format!("{}:{}", self.login, self.password)))
    }

    /// Applies the server's rules; the error is the sentence that the client reads.
    fn check(self, options: &Options, owned: bool) -> Result<UploadParams, String> {
        if options.user_token.is_some() && !options.anonymous_uploads && !owned {
            return Err("anonymous uploads are disabled".into());
        }
        let refusals = [
            (self.one_shot && !options.one_shot, "one shot uploads are disabled"),
            (self.removable && !options.removable, "removable uploads are disabled"),
            (self.stream, "streaming uploads are disabled"),
            (self.extend_ttl, "extend TTL is disabled"),
        ];
        if let Some((_, reason)) = refusals.iter().find(|(refused, _)| *refused) {
            return Err((*reason).into());
        }
        let ttl = check_ttl(self.ttl, options)?;
        if !self.password.is_empty() && !options.password {
            return Err("upload password protection is disabled".into());
        }
        if self.files.len() > options.max_files_per_upload {
            return Err(format!("too many files. maximum is {}", options.max_files_per_upload));
        }
        for file in &self.files {
            check_file(file, options.max_file_size)?;
        }
        self.check_texts()?;
        let login = if self.login.is_empty() { "plik" } else { &self.login };
        let credentials = (!self.password.is_empty())
            .then(|| Secret::new(STANDARD.encode_to_string(format!("{login}:{}", self.password))));
        Ok(UploadParams {
            one_shot: self.one_shot,
            removable: self.removable,
            comments: if options.comments { self.comments } else { String::new() },
            credentials,
            ttl,
            owned,
            files: self.files,
        })
    }

    /// Bounds what is kept for as long as the upload is: a Plik has a database for it, this server its memory.
    fn check_texts(&self) -> Result<(), String> {
        let of_files = self
            .files
            .iter()
            .flat_map(|file| [("fileType", &file.media_type), ("reference", &file.reference)]);
        let texts = [("login", &self.login), ("password", &self.password)].into_iter().chain(of_files);
        let bounded = texts.map(|(key, text)| (key, text, MAX_TEXT));
        let mut bounded = bounded.chain([("comments", &self.comments, MAX_COMMENTS)]);
        if let Some((key, _, max)) = bounded.find(|(_, text, max)| text.len() > *max) {
            return Err(format!("{key} is too long, maximum length is {max} bytes"));
        }
        let len = |file: &NewFile| file.name.len() + file.media_type.len() + file.reference.len();
        if self.files.iter().map(len).sum::<usize>() > MAX_TEXTS {
            return Err(format!("the files are described at too great length, maximum is {MAX_TEXTS} bytes"));
        }
        Ok(())
    }
}

/// The lifetime for a `ttl`: 0 is the default, less is for ever, if that is allowed.
fn check_ttl(asked: i64, options: &Options) -> Result<Duration, String> {
    if asked == 0 || !options.set_ttl {
        return Ok(options.default_ttl);
    }
    let ttl = Duration::from_secs(u64::try_from(asked).unwrap_or(0).min(MAX_TTL_SECS));
    match options.max_ttl.map(|max| (max, max.as_secs())) {
        Some((_, secs)) if ttl.is_zero() => {
            Err(format!("cannot set infinite TTL (maximum allowed is : {secs})"))
        }
        Some((max, secs)) if ttl > max => Err(format!("invalid TTL. (maximum allowed is : {secs})")),
        _ => Ok(ttl),
    }
}

/// Checks the name and the declared size of a file before it gets an id.
pub(super) fn check_file(file: &NewFile, max_size: u64) -> Result<(), String> {
    if file.name.is_empty() {
        return Err("missing file name".into());
    }
    if file.name.len() > MAX_NAME {
        let start = String::from_utf8_lossy(&file.name[..20]);
        return Err(format!("file name {start}... is too long, maximum length is {MAX_NAME} characters"));
    }
    match u64::try_from(file.size) {
        Ok(size) if size > max_size => {
            let (size, max) = (human_size(size), human_size(max_size));
            Err(format!("file is too big ({size}), maximum file size is {max}"))
        }
        _ => Ok(()),
    }
}

fn read_file(value: Value) -> Result<NewFile, String> {
    let object = match value {
        Value::Null => Map::new(),
        Value::Object(object) => object,
        _ => return Err("a file is not an object".into()),
    };
    let mut file = NewFile::default();
    let mut name = String::new();
    for (key, value) in object {
        let key = key.to_ascii_lowercase();
        match &*key {
            "filename" => read_text(&key, value, &mut name),
            "filetype" => read_text(&key, value, &mut file.media_type),
            "filesize" => read_int(&key, value, &mut file.size),
            "reference" => read_text(&key, value, &mut file.reference),
            "id" | "status" | "filemd5" => read_text(&key, value, &mut String::new()),
            _ => Ok(()),
        }?;
    }
    file.name = name.into_bytes();
    Ok(file)
}

fn read_bool(key: &str, value: Value, into: &mut bool) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Bool(flag) => *into = flag,
        _ => return Err(format!("{key} is not a boolean")),
    }
    Ok(())
}

fn read_int(key: &str, value: Value, into: &mut i64) -> Result<(), String> {
    if !value.is_null() {
        *into = value.as_i64().ok_or_else(|| format!("{key} is not an integer"))?;
    }
    Ok(())
}

fn read_text(key: &str, value: Value, into: &mut String) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::String(text) => *into = text,
        _ => return Err(format!("{key} is not a string")),
    }
    Ok(())
}

const MAX_BODY: usize = 1024 * 1024;

/// The most bytes of a comment, 4 KiB (chosen).
const MAX_COMMENTS: usize = 4096;

/// The most bytes of each other text beside names (chosen).
const MAX_TEXT: usize = 1024;

/// The most bytes of all texts of an upload's declared files, 256 KiB (chosen): a thousand names as long as file systems
/// take.
const MAX_TEXTS: usize = 256 * 1024;

/// In bytes, whatever the error text says.
const MAX_NAME: usize = 1024;
