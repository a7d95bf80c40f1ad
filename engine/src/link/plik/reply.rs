//! Reading a Plik's answers, as those of a server that may say anything.

use std::fmt;
use std::marker::PhantomData;
use std::time::SystemTime;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::link::url::LinkUrl;

/// The most bytes of a download domain; [`max_url_len`](crate::link::LinkStore::max_url_len) counts with it.
pub(super) const MAX_DOMAIN: usize = 256;
/// The most characters of an identifier; Plik's have 16.
pub(super) const MAX_ID: usize = 32;
/// The most files in one upload: Plik's default limit.
pub(super) const MAX_FILES: usize = 1000;

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
    let answer = Answer::<()>::parse(bytes)?;
    let token = answer.upload_token.ok_or("there is no uploadToken")?;
    // It goes into a header, and into a handle that is split at spaces.
    if token.is_empty() || token.len() > 256 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the uploadToken is not valid");
    }
    Ok(Created {
        id: id(answer.id)?,
        token,
        domain: domain(answer.download_domain)?,
        // An expiry that cannot be read is no reason to lose an upload: the sender then knows none.
        expires_at: answer.expire_at.and_then(|text| crate::timestamp::parse(&text)),
    })
}

pub(super) fn added(bytes: &[u8]) -> Result<Added, Nonsense> {
    let answer = Answer::<()>::parse(bytes)?;
    let name = answer.file_name.ok_or("there is no fileName")?;
    // A path that servers clean up cannot be fetched.
    if matches!(name.as_str(), "" | "." | "..") || name.contains('/') {
        return Err("the fileName is not valid");
    }
    Ok(Added {
        id: id(answer.id)?,
        name,
        size: answer.file_size,
        md5: answer.file_md5,
        status: answer.status,
    })
}

/// Id and name of each file in the description of an upload that is there, or may be; at most [`MAX_FILES`].
pub(super) fn listed(bytes: &[u8]) -> Result<Vec<(String, String)>, Nonsense> {
    Answer::<Files>::parse(bytes)?.files.0
}

/// The download domain in the answer to `/config`.
pub(super) fn config(bytes: &[u8]) -> Result<Option<Base>, Nonsense> {
    domain(Answer::<()>::parse(bytes)?.download_domain)
}

fn id(id: Option<String>) -> Result<String, Nonsense> {
    let id = id.ok_or("there is no id")?;
    let valid = (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if valid { Ok(id) } else { Err("the id is not valid") }
}

fn domain(domain: Domain) -> Result<Option<Base>, Nonsense> {
    match domain {
        Domain::None => Ok(None),
        Domain::Text(text) if text.is_empty() => Ok(None),
        Domain::Text(text) => match Base::parse(&text) {
            Ok(base) if base.as_str().len() <= MAX_DOMAIN => Ok(Some(base)),
            _ => Err("the downloadDomain is not valid"),
        },
        Domain::Other => Err("the downloadDomain is no text"),
    }
}

/// What is looked at in a JSON object. Of a key given twice the last value counts; a value of an unexpected type is as good as
/// none; and what nobody looks at is checked, but not kept: a tree of it would take a hundred times its text.
#[derive(Default)]
struct Answer<L> {
    id: Option<String>,
    upload_token: Option<String>,
    download_domain: Domain,
    expire_at: Option<String>,
    file_name: Option<String>,
    file_size: Option<u64>,
    file_md5: Option<String>,
    status: Option<String>,
    files: L,
}

impl<L: Keep> Answer<L> {
    fn parse(bytes: &[u8]) -> Result<Self, Nonsense> {
        match serde_json::from_slice(bytes) {
            Ok(Kept(Some(answer))) => Ok(answer),
            Ok(Kept(None)) => Err("it is no JSON object"),
            Err(_) => Err("it is not valid JSON"),
        }
    }
}

impl<L: Keep> Keep for Option<Answer<L>> {
    fn object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut answer = Answer::default();
        while let Some(Kept(Some(key))) = object.next_key()? {
            let key: String = key;
            match key.as_str() {
                "id" => answer.id = next(&mut object)?,
                "uploadToken" => answer.upload_token = next(&mut object)?,
                "downloadDomain" => answer.download_domain = next(&mut object)?,
                "expireAt" => answer.expire_at = next(&mut object)?,
                "fileName" => answer.file_name = next(&mut object)?,
                "fileSize" => answer.file_size = next(&mut object)?,
                "fileMd5" => answer.file_md5 = next(&mut object)?,
                "status" => answer.status = next(&mut object)?,
                "files" => answer.files = next(&mut object)?,
                _ => next(&mut object)?,
            }
        }
        Ok(Some(answer))
    }
}

fn next<'de, T: Keep, A: MapAccess<'de>>(object: &mut A) -> Result<T, A::Error> {
    object.next_value().map(|Kept(value)| value)
}

/// A download domain as it stands in an answer.
#[derive(Default)]
enum Domain {
    #[default]
    None,
    Text(String),
    Other,
}

impl Keep for Domain {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn null() -> Self {
        Self::None
    }

    fn other() -> Self {
        Self::Other
    }
}

/// The files of an upload that are there.
struct Files(Result<Vec<(String, String)>, Nonsense>);

impl Default for Files {
    fn default() -> Self {
        Self(Ok(Vec::new()))
    }
}

impl Keep for Files {
    fn array<'de, A: SeqAccess<'de>>(mut array: A) -> Result<Self, A::Error> {
        let mut files = Ok(Vec::new());
        while let Some(Kept(file)) = array.next_element::<Kept<Option<Answer<()>>>>()? {
            let file = file.unwrap_or_default();
            let Ok(known) = &mut files else { continue };
            if matches!(file.status.as_deref(), Some("removed" | "deleted")) {
                continue;
            }
            match id(file.id).and_then(|id| Ok((id, file.file_name.ok_or("there is no fileName")?))) {
                Ok(_) if known.len() == MAX_FILES => files = Err("it has more files than an upload may"),
                Ok(file) => known.push(file),
                Err(why) => files = Err(why),
            }
        }
        Ok(Self(files))
    }
}

/// What is kept of a JSON value of each type: nothing, unless it says otherwise.
trait Keep: Default {
    fn text(_: &str) -> Self {
        Self::other()
    }

    fn number(_: u64) -> Self {
        Self::other()
    }

    fn null() -> Self {
        Self::other()
    }

    fn array<'de, A: SeqAccess<'de>>(mut array: A) -> Result<Self, A::Error> {
        while let Some(Kept(())) = array.next_element()? {}
        Ok(Self::other())
    }

    fn object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while let Some((Kept(()), Kept(()))) = object.next_entry()? {}
        Ok(Self::other())
    }

    /// Of a type that is not looked for.
    fn other() -> Self {
        Self::default()
    }
}

impl Keep for () {}

impl Keep for Option<String> {
    fn text(text: &str) -> Self {
        Some(text.to_owned())
    }
}

impl Keep for Option<u64> {
    fn number(number: u64) -> Self {
        Some(number)
    }

    /// Where another crate of the program has switched on `arbitrary_precision`, serde_json hands over every number like this.
    fn object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut number = None;
        while let Some((Kept(key), Kept(digits))) = object.next_entry::<_, Kept<Option<String>>>()? {
            let key: Option<String> = key;
            let is_number = key.as_deref() == Some("$serde_json::private::Number");
            number = digits.filter(|_| is_number).and_then(|digits| digits.parse().ok());
        }
        Ok(number)
    }
}

/// A value as it is read.
struct Kept<T>(T);

impl<'de, T: Keep> Deserialize<'de> for Kept<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Keep> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::other())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::other())
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::other())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::null())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<T, A::Error> {
        T::array(array)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::MapDeserializer;

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
        assert!(config(format!("{{\"x\":{deep}}}").as_bytes()).is_err());
        assert!(added(&[0xff, 0xfe]).is_err());
        assert!(config(br#"{"x":"\ud800"}"#).is_err());
    }

    #[test]
    fn the_last_value_of_a_key_counts_and_one_of_another_type_is_none() {
        let file = |size: &str| {
            let text = format!(r#"{{"id":[],"id":"f","fileName":"a","status":{{}},"fileSize":{size}}}"#);
            added(text.as_bytes()).unwrap()
        };
        assert_eq!((file("3").size, file("3").status), (Some(3), None));
        for size in ["-1", "1.0", "\"3\"", "null", "[3]", "18446744073709551616", "{\"a\":3}"] {
            assert_eq!(file(size).size, None, "{size}");
        }
        // As serde_json has it with `arbitrary_precision`.
        let number = [("$serde_json::private::Number", "18446744073709551615")];
        let deserializer = MapDeserializer::<_, serde::de::value::Error>::new(number.into_iter());
        assert_eq!(Kept::<Option<u64>>::deserialize(deserializer).unwrap().0, Some(u64::MAX));
        let files = r#"{"files":[{"id":"a","fileName":"b"}],"files":7}"#;
        assert_eq!(listed(files.as_bytes()).unwrap(), []);
    }

    #[test]
    fn the_files_that_are_there_are_listed_and_no_more_than_an_upload_may_have() {
        let list = |files: &str| listed(format!("{{\"files\":[{files}]}}").as_bytes());
        assert_eq!(list(r#"{"id":"a","fileName":"b"}"#).unwrap(), [("a".to_owned(), "b".to_owned())]);
        assert_eq!(list(r#"{"status":"removed"},{"status":"deleted"}"#).unwrap(), []);
        for broken in ["7", "[]", "{}", r#"{"id":"a"}"#, r#"{"id":"/","fileName":"b"}"#] {
            assert!(list(broken).is_err(), "{broken}");
        }
        let many = |count| vec![r#"{"id":"a","fileName":"b"}"#; count].join(",");
        assert_eq!(list(&many(MAX_FILES)).unwrap().len(), MAX_FILES);
        assert_eq!(list(&many(MAX_FILES + 1)), Err("it has more files than an upload may"));
    }

    #[test]
    fn what_nobody_looks_at_takes_no_memory() {
        let unasked = vec![r#"{"":0}"#; 100_000].join(",");
        for key in ["x", "id", "downloadDomain", "fileSize", "files"] {
            let text = format!(r#"{{"{key}":[{unasked}]}}"#);
            let taken = allocation_counter::measure(|| {
                drop((created(text.as_bytes()), added(text.as_bytes()), listed(text.as_bytes())));
            });
            assert!(taken.bytes_max < 4096, "{key}: {} bytes", taken.bytes_max);
        }
    }
}
