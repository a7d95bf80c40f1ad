//! URLs with places for an id and a name.

use crate::link::origin::Origin;
use crate::link::plik::safe_name;
use crate::link::url::{LinkUrl, encode_segment};
use crate::{Error, ErrorKind, Result};

/// As long as every id.
pub(super) const ID: &str = "00000000000000000000000000000000";

/// A URL such as `https://dav.example/links/{id}-{name}`.
#[derive(Clone)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    origin: Origin,
}

#[derive(Clone)]
enum Piece {
    Text(String),
    Id,
    Name,
}

impl Template {
    /// `what` says in errors which template it is.
    pub(super) fn parse(text: &str, what: &str) -> Result<Self> {
        let misuse = |why: &str| Error::new(ErrorKind::Misuse, format!("the {what} cannot be used: {why}"));
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (place, after) = after.split_once('}').ok_or_else(|| misuse("a { has no }"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match place {
                "id" => Piece::Id,
                "name" => Piece::Name,
                _ => return Err(misuse("there are places for {id} and {name} only")),
            });
            rest = after;
        }
        if rest.contains('}')
            || pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains('}')))
        {
            return Err(misuse("a } has no {"));
        }
        pieces.push(Piece::Text(rest.to_owned()));
        if !pieces.iter().any(|piece| matches!(piece, Piece::Id)) {
            return Err(misuse("without an {id} one upload would overwrite another"));
        }
        // The first place comes after the slash behind the host: otherwise a name could say where the bytes go.
        let Some(Piece::Text(first)) = pieces.first() else { return Err(misuse("it is no URL")) };
        let authority = first.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        let url =
            LinkUrl::parse(first).map_err(|error| misuse("it is no http or https URL").with_source(error))?;
        if !authority || text.contains('#') {
            return Err(misuse("it needs a path, and no fragment"));
        }
        Ok(Self { pieces, origin: url.origin().clone() })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The URL with these in their places, escaped.
    pub(super) fn url(&self, id: &str, name: &str) -> Result<LinkUrl> {
        let mut url = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Id => url.push_str(id),
                Piece::Name => encode_segment(&safe_name(name), &mut url),
            }
        }
        LinkUrl::parse(&url).map_err(|error| {
            Error::new(ErrorKind::Misuse, "the template makes no URL of this name").with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_place() {
        let template = Template::parse("HTTPS://Dav.example/a b/{id}/{name}?v=1", "template").unwrap();
        assert_eq!(template.origin().to_string(), "https://dav.example:443");
        for (name, expected) in [
            ("x.txt", "https://dav.example/a%20b/7/x.txt?v=1"),
            ("../../x", "https://dav.example/a%20b/7/x?v=1"),
            ("..", "https://dav.example/a%20b/7/file?v=1"),
            ("é{id}?#&", "https://dav.example/a%20b/7/%C3%A9%7Bid%7D%3F%23%26?v=1"),
        ] {
            assert_eq!(template.url("7", name).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        for text in [
            "",
            "https://h/x",
            "https://h/{name}",
            "https://h/{id",
            "https://h/id}{id}",
            "https://h/{id}{other}",
            "https://{id}.h/x",
            "https://h{id}/x",
            "https://h:{id}/x",
            "https://h?{id}",
            "{id}://h/x",
            "ftp://h/{id}",
            "https://user:SECRET@h/{id}",
            "https://h/{id}#SECRET",
        ] {
            let error = Template::parse(text, "template").err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(error.kind(), ErrorKind::Misuse, "{text}");
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
        }
    }
}
