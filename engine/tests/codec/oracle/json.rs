//! JSON by RFC 8259, at most 128 deep, without lone surrogates; a tree with each value's place in the text.

use std::ops::Range;

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) range: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As it is spelt.
    Number(String),
    String(String),
    Array(Vec<Node>),
    /// In the order of the text, repetitions included.
    Object(Vec<(String, Node)>),
}

/// The value that `text` is, or `None` for text that is no JSON.
pub(crate) fn parse(text: &[u8]) -> Option<Node> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parser = Parser { text, at: 0 };
    let node = parser.value(1)?;
    parser.white_space();
    (parser.at == text.len()).then_some(node)
}

/// How deep the value nests; 0 for one that is neither an object nor an array.
pub(crate) fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(pairs) => 1 + pairs.iter().map(|(_, node)| depth(node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The value as a dictionary means it (SPEC `TYPE-4`), or `None` where a number overflows.
pub(crate) fn meaning(node: &Node) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(text) => number(text)?,
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(meaning).collect::<Option<Vec<_>>>()?.into(),
        Value::Object(pairs) => {
            let mut object = serde_json::Map::new();
            for (key, node) in pairs {
                object.insert(key.clone(), meaning(node)?);
            }
            object.into()
        }
    })
}

fn number(text: &str) -> Option<serde_json::Value> {
    let integer = !text.contains(['.', 'e', 'E']);
    if integer && let Ok(value) = text.parse::<i64>() {
        return Some(value.into());
    }
    if integer && let Ok(value) = text.parse::<u64>() {
        return Some(value.into());
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then(|| value.into())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn next(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        (self.next()? == wanted).then(|| self.at += wanted.len_utf8())
    }

    fn white_space(&mut self) {
        while let Some(' ' | '\t' | '\n' | '\r') = self.next() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        self.white_space();
        let start = self.at;
        let value = match self.next()? {
            '{' | '[' if depth > 128 => return None,
            '{' => self.object(depth)?,
            '[' => self.array(depth)?,
            '"' => Value::String(self.string()?),
            't' => self.word("true", Value::Bool(true))?,
            'f' => self.word("false", Value::Bool(false))?,
            'n' => self.word("null", Value::Null)?,
            _ => Value::Number(self.number()?),
        };
        Some(Node { value, range: start..self.at })
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        word.chars().try_for_each(|letter| self.take(letter))?;
        Some(value)
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.take('[')?;
        let mut items = Vec::new();
        self.white_space();
        if self.take(']').is_some() {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.white_space();
            if self.take(']').is_some() {
                return Some(Value::Array(items));
            }
            self.take(',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.take('{')?;
        let mut pairs = Vec::new();
        self.white_space();
        if self.take('}').is_some() {
            return Some(Value::Object(pairs));
        }
        loop {
            self.white_space();
            let key = self.string()?;
            self.white_space();
            self.take(':')?;
            pairs.push((key, self.value(depth + 1)?));
            self.white_space();
            if self.take('}').is_some() {
                return Some(Value::Object(pairs));
            }
            self.take(',')?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take('"')?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            let next = self.next()?;
            self.at += next.len_utf8();
            match next {
                // Decoding the units as one text is what finds a lone surrogate.
                '"' => return String::from_utf16(&units).ok(),
                '\\' => units.push(self.escape()?),
                '\0'..='\u{1f}' => return None,
                plain => units.extend(plain.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let letter = self.next()?;
        self.at += letter.len_utf8();
        let plain = match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                self.at += 4;
                return u16::from_str_radix(digits, 16).ok();
            }
            _ => return None,
        };
        u16::try_from(u32::from(plain)).ok()
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        let _ = self.take('-');
        if self.take('0').is_none() {
            self.digits()?;
        }
        if self.take('.').is_some() {
            self.digits()?;
        }
        if self.take('e').or_else(|| self.take('E')).is_some() {
            let _ = self.take('+').or_else(|| self.take('-'));
            self.digits()?;
        }
        Some(self.text[start..self.at].to_owned())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some('0'..='9') = self.next() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
