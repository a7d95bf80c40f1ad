//! Reading a Plik's answers, as those of a server that may say anything.

use std::time::SystemTime;

use serde_json::Value;

use crate::link::url::LinkUrl;

/// The most bytes of a download domain; [`max_url_len`](crate::link::LinkStore::max_url_len) counts with it.
pub(super) const MAX_DOMAIN: usize = 256;
/// The most characters of an identifier; Plik's have 16.
pub(super) const MAX_ID: usize = 32;

/// Why an answer cannot be used.
pub(super) type Nonsense = &'static str;

/// The answer to the creation of an upload.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) domain: Option<Base>,
    pub(super) expires_at: Option<SystemTime>,
}

/// The answer to a file.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) size: Option<u64>,
    pub(super) md5: Option<String>,
    pub(super) status: Option<String>,
}

/// The beginning of a server's URLs: no query, and no slash at the end.
#[derive(Debug, Clone)]
pub(super) struct Base(LinkUrl);

impl Base {
    pub(super) fn parse(text: &str) -> Result<Self, Nonsense> {
        let url = LinkUrl::parse(text).map_err(|_| "it is no http or https URL without user info")?;
        if url.path_and_query().contains('?') || text.contains('#') {
            return Err("it has a query or a fragment");
        }
        Ok(Self(url))
    }

    pub(super) fn url(&self) -> &LinkUrl {
        &self.0
    }

    /// The text that paths are appended to.
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

pub(super) fn created(bytes: &[u8]) -> Result<Created, Nonsense> {
    let answer = object(bytes)?;
    let token = string(&answer, "uploadToken").ok_or("there is no uploadToken")?;
    // It goes into a header, and into a handle that is split at spaces.
    if token.is_empty() || token.len() > 256 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the uploadToken is not valid");
    }
    Ok(Created {
        id: id(&answer)?,
        token,
        domain: domain(&answer)?,
        // An expiry that cannot be read is no reason to lose an upload: the sender then knows none.
        expires_at: string(&answer, "expireAt").and_then(|text| crate::timestamp::parse(&text)),
    })
}

pub(super) fn added(bytes: &[u8]) -> Result<Added, Nonsense> {
    let answer = object(bytes)?;
    let name = string(&answer, "fileName").ok_or("there is no fileName")?;
    // A path that servers clean up cannot be fetched.
    if matches!(name.as_str(), "" | "." | "..") || name.contains('/') {
        return Err("the fileName is not valid");
    }
    Ok(Added {
        id: id(&answer)?,
        name,
        size: answer.get("fileSize").and_then(Value::as_u64),
        md5: string(&answer, "fileMd5"),
        status: string(&answer, "status"),
    })
}

/// Id and name of each file in the description of an upload that is there, or may be.
pub(super) fn listed(bytes: &[u8]) -> Result<Vec<(String, String)>, Nonsense> {
    let answer = object(bytes)?;
    let Some(Value::Array(files)) = answer.get("files") else { return Ok(Vec::new()) };
    let there = |file: &&Value| !matches!(string(file, "status").as_deref(), Some("removed" | "deleted"));
    files
        .iter()
        .filter(there)
        .map(|file| Ok((id(file)?, string(file, "fileName").ok_or("there is no fileName")?)))
        .collect()
}

/// The download domain in the answer to `/config`.
pub(super) fn config(bytes: &[u8]) -> Result<Option<Base>, Nonsense> {
    domain(&object(bytes)?)
}

fn object(bytes: &[u8]) -> Result<Value, Nonsense> {
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("it is no JSON object"),
        Err(_) => Err("it is not valid JSON"),
    }
}

fn string(answer: &Value, key: &str) -> Option<String> {
    answer.get(key)?.as_str().map(str::to_owned)
}

fn id(answer: &Value) -> Result<String, Nonsense> {
    let id = string(answer, "id").ok_or("there is no id")?;
    let valid = (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if valid { Ok(id) } else { Err("the id is not valid") }
}

fn domain(answer: &Value) -> Result<Option<Base>, Nonsense> {
    match answer.get("downloadDomain") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => match Base::parse(text) {
            Ok(base) if base.as_str().len() <= MAX_DOMAIN => Ok(Some(base)),
            _ => Err("the downloadDomain is not valid"),
        },
        Some(_) => Err("the downloadDomain is no text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_of_a_plik_are_understood() {
        let answer = created(
            br#"{"id":"aBcD","uploadToken":"t0k3n","ttl":86400,"downloadDomain":"https://dl.example.org/p/",
                "files":null,"expireAt":"2026-03-01T12:00:00.5Z","e2ee":"x"}"#,
        )
        .unwrap();
        assert_eq!((answer.id.as_str(), answer.token.as_str()), ("aBcD", "t0k3n"));
        assert_eq!(answer.domain.unwrap().as_str(), "https://dl.example.org/p");
        assert!(answer.expires_at.is_some());

        let answer = created(br#"{"id":"a","uploadToken":"t","downloadDomain":"","expireAt":null}"#).unwrap();
        assert!(answer.domain.is_none() && answer.expires_at.is_none());

        let answer =
            added(br#"{"id":"f","fileName":"a b","fileSize":3,"fileMd5":"x","status":"uploaded"}"#).unwrap();
        assert_eq!((answer.name.as_str(), answer.size), ("a b", Some(3)));
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        for text in [
            "",
            "null",
            "[]",
            "{",
            "<html>",
            "{}",
            r#"{"id":7,"uploadToken":"t"}"#,
            r#"{"id":"","uploadToken":"t"}"#,
            r#"{"id":"a"}"#,
            r#"{"id":"../x","uploadToken":"t"}"#,
            r#"{"id":"a b","uploadToken":"t"}"#,
            r#"{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","uploadToken":"t"}"#,
            r#"{"id":"a","uploadToken":""}"#,
            r#"{"id":"a","uploadToken":"t\r\nX-Evil: 1"}"#,
            r#"{"id":"a","uploadToken":"t","downloadDomain":7}"#,
            r#"{"id":"a","uploadToken":"t","downloadDomain":"ftp://h"}"#,
            r#"{"id":"a","uploadToken":"t","downloadDomain":"http://u:p@h"}"#,
            r#"{"id":"a","uploadToken":"t","downloadDomain":"http://h/?q"}"#,
            r#"{"id":"a","uploadToken":"t","downloadDomain":"dl.example.org"}"#,
        ] {
            assert!(created(text.as_bytes()).is_err(), "{text}");
        }
        for text in [
            "{}",
            r#"{"id":"a"}"#,
            r#"{"id":"a","fileName":null}"#,
            r#"{"id":"a","fileName":""}"#,
            r#"{"id":"a","fileName":".."}"#,
            r#"{"id":"a","fileName":"x/y"}"#,
        ] {
            assert!(added(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(config(deep.as_bytes()).is_err());
        assert!(added(&[0xff, 0xfe]).is_err());
    }
}
