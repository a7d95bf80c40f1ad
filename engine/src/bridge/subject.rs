//! NATS subjects and headers: refused before anything is sent (SPEC `SUBJ`).

use async_nats::HeaderMap;

use crate::error::{Error, ErrorKind, Result};

/// The most bytes that a subject may have together with what stands in the same line of NATS's protocol: a reply subject or
/// a queue group. A server closes the connection on a line of more than 4,096 bytes (`max_control_line`), of which the rest is
/// for the command and the sizes (chosen).
const MAX_TOGETHER: usize = 4000;

/// Left for a reply subject that is not known yet: an inbox has about 30 bytes (chosen). So a subject alone may have 3,900.
const INBOX: usize = 100;

/// Checks that a subject and what goes with it fit into one line of the protocol.
pub(super) fn check_together(subject: &str, beside: &str) -> Result<()> {
    let len = subject.len() + beside.len().max(INBOX);
    if len > MAX_TOGETHER {
        let what = "the subject is too long, alone or with its reply subject or queue group: NATS takes lines of 4,096 bytes";
        return Err(invalid(what).with_size(len as u64, MAX_TOGETHER as u64));
    }
    Ok(())
}

/// Checks a subject to publish to.
pub(super) fn check_publish(subject: &str) -> Result<()> {
    check(subject)?;
    let wildcards = subject.bytes().any(|byte| matches!(byte, b'*' | b'>'));
    if wildcards && subject.split('.').any(|token| token == "*" || token == ">") {
        return Err(invalid("wildcards are for subscribing only"));
    }
    Ok(())
}

/// Checks a subject to subscribe to: `*` may be any token, `>` the last one.
pub(super) fn check_subscribe(subject: &str) -> Result<()> {
    check(subject)?;
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token == ">" && tokens.peek().is_some() {
            return Err(invalid("the wildcard > must be the last token"));
        }
    }
    Ok(())
}

/// Checks the name of a queue group: one word.
pub(super) fn check_queue(queue: &str) -> Result<()> {
    if queue.is_empty() || queue.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err(invalid("a queue group needs a name without white space and control characters"));
    }
    Ok(())
}

fn check(subject: &str) -> Result<()> {
    if subject.is_empty() {
        return Err(invalid("the subject is empty"));
    }
    check_together(subject, "")?;
    let bytes = subject.as_bytes();
    // Most are printable ASCII throughout, and need no look at their characters.
    if !bytes.iter().all(u8::is_ascii_graphic)
        && let Some(at) = subject.find(|char: char| char.is_whitespace() || char.is_control())
    {
        return Err(invalid("white space and control characters are not allowed").at(at as u64));
    }
    let doubled = bytes.windows(2).any(|pair| pair == b"..");
    if doubled || bytes.first() == Some(&b'.') || bytes.last() == Some(&b'.') {
        return Err(invalid("a token is empty: a dot at the start, at the end or doubled"));
    }
    Ok(())
}

/// The subject that a reply goes to: the NATS reply subject, else the envelope's. `$JS.ACK.…` acknowledges a message and
/// counts as none; any other subject that begins with `$` is the server's own, and nothing is sent there.
pub(super) fn reply_address<'a>(nats_reply: Option<&'a str>, reply_to: &'a str) -> Option<&'a str> {
    let nats_reply = nats_reply.filter(|subject| !subject.is_empty() && !subject.starts_with("$JS.ACK."));
    Some(nats_reply.unwrap_or(reply_to)).filter(|subject| !subject.is_empty() && !subject.starts_with('$'))
}

/// Adds a header, or refuses what the protocol cannot carry: that would be header injection.
pub(super) fn insert_header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<()> {
    let printable = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if name.is_empty() || !name.bytes().all(printable) {
        let what = "a header's name must be printable ASCII without spaces and colons";
        return Err(Error::new(ErrorKind::InvalidHeader, what));
    }
    if value.contains(['\r', '\n']) {
        return Err(Error::new(ErrorKind::InvalidHeader, "a header's value must not contain line breaks"));
    }
    let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::InvalidHeader, "the client refuses the header").with_source(error)
    };
    let name: async_nats::HeaderName = name.parse().map_err(|error| unusable(Box::new(error)))?;
    let value: async_nats::HeaderValue = value.parse().map_err(|error| unusable(Box::new(error)))?;
    headers.append(name, value);
    Ok(())
}

/// The bytes that the headers add to the message, as the server counts them.
pub(super) fn headers_len(headers: &HeaderMap) -> usize {
    if headers.is_empty() {
        return 0;
    }
    let line = |name: &str, value: &str| name.len() + value.len() + ": \r\n".len();
    let lines: usize = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| line(name.as_ref(), value.as_str())))
        .sum();
    "NATS/1.0\r\n".len() + lines + "\r\n".len()
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidSubject, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_judged_before_anything_is_sent() {
        for (subject, publish, subscribe) in [
            ("/chat/room1", true, true),
            ("a.b.c", true, true),
            ("/chat/*", true, true),
            ("a*b.c>", true, true),
            ("привет.日本", true, true),
            ("a.*", false, true),
            ("a.>", false, true),
            ("*", false, true),
            (">", false, true),
            ("a.>.b", false, false),
            ("", false, false),
            ("a..b", false, false),
            (".a", false, false),
            ("a.", false, false),
            ("a b", false, false),
            ("a\tb", false, false),
            ("a\r\nPUB x 0", false, false),
            ("a\u{0}b", false, false),
            ("a\u{a0}b", false, false),
        ] {
            assert_eq!(check_publish(subject).is_ok(), publish, "{subject:?}");
            assert_eq!(check_subscribe(subject).is_ok(), subscribe, "{subject:?}");
        }
    }

    #[test]
    fn what_no_line_of_the_protocol_holds_is_refused() {
        let subject = |len| "s".repeat(len);
        for check in [check_publish, check_subscribe] {
            assert!(check(&subject(3900)).is_ok());
            let error = check(&subject(3901)).unwrap_err();
            assert_eq!((error.kind(), error.limit()), (ErrorKind::InvalidSubject, Some(4000)));
        }
        assert!(check_together(&subject(3000), &subject(1000)).is_ok());
        assert!(check_together(&subject(3000), &subject(1001)).is_err());
    }

    #[test]
    fn a_reply_never_goes_to_an_address_of_the_server() {
        for (nats, envelope, expected) in [
            (Some("_INBOX.1"), "app.reply", Some("_INBOX.1")),
            (None, "app.reply", Some("app.reply")),
            (Some("$JS.ACK.s.c.1.2.3.4.5"), "app.reply", Some("app.reply")),
            (Some("$JS.ACK.s.c.1.2.3.4.5"), "", None),
            (None, "$SYS.REQ", None),
            // Somebody asks for a reply there, so nowhere else.
            (Some("$SYS.REQ"), "app.reply", None),
            (Some(""), "app.reply", Some("app.reply")),
            (None, "", None),
            (Some(""), "a", Some("a")),
        ] {
            assert_eq!(reply_address(nats, envelope), expected);
        }
    }

    #[test]
    fn headers_that_could_inject_others_are_refused() {
        let mut headers = HeaderMap::new();
        for (name, value, ok) in [
            ("Nats-Msg-Id", "1", true),
            ("X", "", true),
            ("X", "a\r\nY: b", false),
            ("X", "a\nb", false),
            ("X:Y", "a", false),
            ("X Y", "a", false),
            ("", "a", false),
            ("Ünï", "a", false),
        ] {
            assert_eq!(insert_header(&mut headers, name, value).is_ok(), ok, "{name} {value:?}");
        }
        assert_eq!(headers_len(&headers), "NATS/1.0\r\nNats-Msg-Id: 1\r\nX: \r\n\r\n".len());
        assert_eq!(headers_len(&HeaderMap::new()), 0);
    }
}
