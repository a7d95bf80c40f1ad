//! The message that the command line describes: its payloads read, its fields set.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use natsbridge::bridge::BridgeBuilder;
use natsbridge::link::{self, CleanupRecord, Lifetime, Plik, TlsOptions};
use natsbridge::{ErrorKind, Payload, PayloadType};
use serde_json::Value;

use crate::args::{FileServerArgs, MessageArgs, UploadArgs};
use crate::exit::Failure;
use crate::output::blocking;
use crate::payload_spec::{PayloadSpec, Source};
use crate::table_input;

/// Every payload: what has to be looked at is read now, the rest when it is sent.
pub(crate) fn payloads(args: &MessageArgs) -> Result<Vec<Payload>, Failure> {
    let specs = &args.payloads.0;
    if specs.iter().filter(|spec| spec.source == Source::Stdin).count() > 1 {
        return Err(Failure::Usage("only one payload can be read from standard input".to_owned()));
    }
    let mut payloads = specs.iter().map(payload).collect::<Result<Vec<_>, _>>()?;
    for text in &args.payload_metadata {
        let (index, key, value) = payload_metadata(text, specs)?;
        let payload = payloads[index].clone().with_metadata(key, json_or_text(value));
        payloads[index] = payload.map_err(Failure::about(metadata_option(text)))?;
    }
    Ok(payloads)
}

fn payload(spec: &PayloadSpec) -> Result<Payload, Failure> {
    let PayloadSpec { name, type_name, source, metadata } = spec;
    let about = format!("payload {name:?}");
    if let (true, Some(source)) = (is_opaque(type_name), streamed(source, name)?) {
        let mut payload =
            Payload::from_source(type_name.clone(), name, source).map_err(Failure::about(&about))?;
        for (key, value) in metadata {
            payload = payload.with_metadata(key, value).map_err(Failure::about(&about))?;
        }
        return Ok(payload);
    }
    let bytes = read(source, name)?;
    let path = match source {
        Source::Path(path) => Some(path.as_path()),
        Source::Value(_) | Source::Stdin => None,
    };
    let mut payload = match PayloadType::from_name(type_name) {
        PayloadType::Table => table_input::payload(name, path, bytes)?,
        PayloadType::JsonTable => {
            if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
                return Err(Failure::Usage(format!("{about}: a jsontable is a JSON array of rows")));
            }
            Payload::other(type_name.clone(), name, bytes).map_err(Failure::about(&about))?
        }
        _ => Payload::other(type_name.clone(), name, bytes).map_err(Failure::about(&about))?,
    };
    for (key, value) in metadata {
        payload = payload.with_metadata(key, value).map_err(Failure::about(&about))?;
    }
    Ok(payload)
}

/// Whether bytes of this type are sent as they are, whatever they are.
fn is_opaque(type_name: &str) -> bool {
    use PayloadType as Type;
    let payload_type = Type::from_name(type_name);
    !matches!(payload_type, Type::Text | Type::Dictionary | Type::Table | Type::JsonTable)
}

/// What is read while it is sent. A file that cannot be opened is told about before anything is connected to.
fn streamed(source: &Source, name: &str) -> Result<Option<link::Source>, Failure> {
    Ok(match source {
        Source::Value(_) => None,
        Source::Path(path) => {
            let checked = blocking(|| {
                let metadata = fs::metadata(path)?;
                if metadata.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                // Opening a pipe and closing it again would take it from its writer.
                if metadata.is_file() { fs::File::open(path).map(drop) } else { Ok(()) }
            });
            checked.map_err(|error| unreadable(path, name, error))?;
            Some(link::Source::file(path))
        }
        Source::Stdin => Some(link::Source::reader(tokio::io::stdin(), None)),
    })
}

fn unreadable(path: &Path, name: &str, error: io::Error) -> Failure {
    Failure::input(format!("payload {name:?}: cannot read {}", path.display()), error)
}

fn read(source: &Source, name: &str) -> Result<Bytes, Failure> {
    match source {
        Source::Value(value) => Ok(Bytes::from(value.clone())),
        Source::Path(path) => file(path).map_err(|error| unreadable(path, name, error)),
        Source::Stdin => stdin(),
    }
}

pub(crate) fn file(path: &Path) -> io::Result<Bytes> {
    blocking(|| fs::read(path)).map(Bytes::from)
}

/// Standard input to its end.
pub(crate) fn stdin() -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    blocking(|| io::stdin().lock().read_to_end(&mut bytes))
        .map_err(|error| Failure::input("cannot read standard input", error))?;
    Ok(bytes.into())
}

/// `PAYLOAD:KEY=VALUE`, where a number is a position and everything else a name; of two names that fit, the longer.
fn payload_metadata<'a>(text: &'a str, specs: &[PayloadSpec]) -> Result<(usize, &'a str, &'a str), Failure> {
    let wrong = |what: &str| Failure::Usage(format!("{}: {what}", metadata_option(text)));
    let position = text.split_once(':').and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
    let (index, rest) = match position {
        Some((index, rest)) => (Some(index).filter(|&index| index < specs.len()), rest),
        None => specs
            .iter()
            .enumerate()
            .filter_map(|(index, spec)| Some((index, text.strip_prefix(&spec.name)?.strip_prefix(':')?)))
            .min_by_key(|(_, rest)| rest.len())
            .map_or((None, text), |(index, rest)| (Some(index), rest)),
    };
    let index = index.ok_or_else(|| wrong("there is no such payload"))?;
    let (key, value) = rest.split_once('=').ok_or_else(|| wrong("there is no = between key and value"))?;
    Ok((index, key, value))
}

/// The option as errors name it: without its value.
fn metadata_option(text: &str) -> String {
    match text.split_once('=') {
        Some((key, _)) => format!("--payload-metadata {key}=…"),
        None => "--payload-metadata".to_owned(),
    }
}

/// What can be read as JSON is JSON.
pub(crate) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// The file server that large payloads go to, and that links may be fetched from.
pub(crate) fn plik(
    fileserver: &FileServerArgs,
    upload: Option<&UploadArgs>,
) -> Result<Option<Plik>, Failure> {
    let Some(url) = fileserver.url() else { return Ok(None) };
    let mut plik = Plik::new(url)?.tls(tls(fileserver)?);
    if let Some(upload) = upload {
        if upload.one_shot {
            plik = plik.lifetime(Lifetime::OneShot);
        }
        if let Some(ttl) = upload.ttl {
            plik = plik.lifetime(Lifetime::Keep(ttl));
        }
        if let Some(token) = &upload.plik_token {
            plik = plik.token(token);
        }
    }
    Ok(Some(plik))
}

/// The store for what is sent: none where everything has to be direct.
pub(crate) fn upload_store(
    message: &MessageArgs,
    fileserver: &FileServerArgs,
    upload: &UploadArgs,
) -> Result<Option<Plik>, Failure> {
    if message.no_links { Ok(None) } else { plik(fileserver, Some(upload)) }
}

/// Whom `https` file servers have to be certified by, and the certificate that they are shown.
pub(crate) fn tls(fileserver: &FileServerArgs) -> Result<TlsOptions, Failure> {
    blocking(|| {
        let mut tls = TlsOptions::new();
        if let Some(path) = &fileserver.fileserver_ca {
            tls = tls.root_certificate_file(path)?;
        }
        if let (Some(chain), Some(key)) = (&fileserver.fileserver_cert, &fileserver.fileserver_key) {
            tls = tls.client_certificate_files(chain, key)?;
        }
        Ok(tls)
    })
}

/// The bridge with its record of uploads, if there is to be one.
pub(crate) fn recorded(builder: BridgeBuilder, upload: &UploadArgs) -> Result<BridgeBuilder, Failure> {
    match &upload.upload_record {
        Some(path) => Ok(builder.upload_record(blocking(|| CleanupRecord::file(path))?)),
        None => Ok(builder),
    }
}

/// What the option has to do with a message that does not fit.
pub(crate) fn send_failure(
    message: &MessageArgs,
    fileserver: &FileServerArgs,
) -> impl FnOnce(natsbridge::Error) -> Failure {
    let about = match (message.no_links, fileserver.url()) {
        (true, _) => Some("everything has to be direct (--no-links)"),
        (false, None) => Some("no file server is named (--fileserver URL)"),
        (false, Some(_)) => None,
    };
    move |error| match about {
        Some(about) if error.kind() == ErrorKind::MessageTooLarge => Failure::about(about)(error),
        _ => error.into(),
    }
}

/// Sets the fields of a message; `SendMessage` and `RequestMessage` have the same methods and no trait in common.
macro_rules! describe {
    ($message:expr, $args:expr, $payloads:expr) => {{
        let args: &$crate::args::MessageArgs = $args;
        let mut message = $message.payloads($payloads).dialect(args.dialect.into());
        if let Some(id) = &args.correlation_id {
            message = message.correlation_id(id);
        }
        if let Some(id) = &args.msg_id {
            message = message.msg_id(id);
        }
        if let Some(purpose) = &args.purpose {
            message = message.purpose(purpose);
        }
        if let Some(name) = &args.sender_name {
            message = message.sender_name(name);
        }
        if let Some(id) = &args.sender_id {
            message = message.sender_id(id);
        }
        if let Some(name) = &args.receiver_name {
            message = message.receiver(name);
        }
        if let Some(id) = &args.receiver_id {
            message = message.receiver_id(id);
        }
        if let Some(subject) = &args.reply_to {
            message = message.reply_to(subject);
        }
        if let Some(id) = &args.reply_to_msg_id {
            message = message.reply_to_msg_id(id);
        }
        for (key, value) in &args.metadata {
            message = message.metadata(key, $crate::compose::json_or_text(value));
        }
        for (name, value) in &args.header {
            message = message.header(name, value);
        }
        match (args.no_links, args.threshold) {
            (true, _) => message.threshold(u64::MAX),
            (false, Some(bytes)) => message.threshold(bytes),
            (false, None) => message,
        }
    }};
}
pub(crate) use describe;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_finds_its_payload_by_position_or_name() {
        let specs: Vec<_> = ["a:text=", "a:b:text=", "7:text=", "a:text="]
            .iter()
            .map(|text| PayloadSpec::parse_short(text).unwrap())
            .collect();
        let find = |text: &'static str| payload_metadata(text, &specs).ok();
        assert_eq!(find("0:k=v"), Some((0, "k", "v")));
        assert_eq!(find("3:k=v=w"), Some((3, "k", "v=w")));
        assert_eq!(find("a:k=v"), Some((0, "k", "v")));
        assert_eq!(find("a:b:k=v"), Some((1, "k", "v")));
        assert_eq!(find("7:k=v"), None); // a position, and there is none
        assert_eq!(find("x:k=v"), None);
        assert_eq!(find("a:k"), None);
    }

    #[test]
    fn values_are_json_where_they_can_be() {
        for (text, expected) in
            [("1", Value::from(1)), ("en", Value::from("en")), ("\"1\"", Value::from("1"))]
        {
            assert_eq!(json_or_text(text), expected);
        }
    }
}
