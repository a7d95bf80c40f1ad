//! The one place that decides whether an answer is right.

use serde_json::Value as Json;

use crate::bytes::{bytes_of, integer_of, string_bytes, unhex};
use crate::sha256;
use crate::value::Value;
use crate::vectors::Case;

/// What became of a case, as reports name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// As expected.
    Pass,
    /// Something else than expected.
    Fail,
    /// The testee said that it cannot, although it named the operation as one of its own.
    Skip,
    /// It fails as the list of known failures says.
    Known,
    /// It is listed as a known failure, and is none, or another one.
    Stale,
    /// The testee reported that something broke inside it.
    Error,
    /// The testee ended.
    Crash,
    /// The testee was silent.
    Timeout,
    /// The testee said something that the protocol does not allow.
    Protocol,
    /// The testee does not name the operation as one of its own, so it was not asked.
    Unsupported,
}

impl Outcome {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Pass,
        Self::Fail,
        Self::Skip,
        Self::Known,
        Self::Stale,
        Self::Error,
        Self::Crash,
        Self::Timeout,
        Self::Protocol,
        Self::Unsupported,
    ];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Known => "known",
            Self::Stale => "stale",
            Self::Error => "error",
            Self::Crash => "crash",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Unsupported => "unsupported",
        }
    }

    /// The outcome behind a word in a report.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// Whether it fails a run, for a case that is a must or a should.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Pass | Self::Known | Self::Unsupported)
    }
}

/// The verdict on one case.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// What became of it.
    pub outcome: Outcome,
    /// What the testee answered, in short; empty where it is as expected.
    pub got: String,
    /// What is asked for; empty where the answer is right.
    pub expected: String,
    /// What is wrong, without the bytes: a line of a list of known failures holds it.
    pub brief: String,
}

impl Verdict {
    /// As expected.
    pub fn pass() -> Self {
        Self { outcome: Outcome::Pass, got: String::new(), expected: String::new(), brief: String::new() }
    }

    /// Anything else.
    pub fn new(outcome: Outcome, brief: impl Into<String>) -> Self {
        Self { outcome, got: String::new(), expected: String::new(), brief: brief.into() }
    }

    /// Adds the two sides.
    #[must_use]
    pub fn between(mut self, got: impl Into<String>, expected: impl Into<String>) -> Self {
        (self.got, self.expected) = (got.into(), expected.into());
        self
    }
}

/// Compares a reply, which the schema has been asked about already, with what a case expects.
pub fn judge(case: &Case, reply: &Json) -> Verdict {
    if let Some(why) = reply["skip"].as_str() {
        return Verdict::new(Outcome::Skip, format!("skip: {why:.80}"));
    }
    if let Some(what) = reply["error"].as_str() {
        return Verdict::new(Outcome::Error, format!("error: {:.80}", what.trim()))
            .between(what.trim(), expected(case));
    }
    let expect = case.expect();
    if let Some(either) = expect.get("either") {
        // What the format leaves open: both are right, and where one is spelt out, it has to be that one.
        return match (reply.get("ok"), either.get("accept"), either.get("reject")) {
            (Some(ok), Some(accept), _) => accepted(case, accept, ok),
            (None, _, Some(kinds)) => rejected(case, kinds, either.get("offset"), &reply["reject"]),
            _ => Verdict::pass(),
        };
    }
    match (expect.get("accept"), reply.get("ok")) {
        (Some(accept), Some(ok)) => accepted(case, accept, ok),
        (Some(_), None) => {
            let kind = reply["reject"]["kind"].as_str().unwrap_or_default();
            Verdict::new(Outcome::Fail, format!("reject {kind}"))
                .between(short(&reply["reject"]), expected(case))
        }
        (None, Some(ok)) => Verdict::new(Outcome::Fail, "accept").between(short(ok), expected(case)),
        (None, None) => rejected(case, &expect["reject"], expect.get("offset"), &reply["reject"]),
    }
}

fn accepted(case: &Case, accept: &Json, ok: &Json) -> Verdict {
    match compare(case, accept, ok) {
        Ok(()) => Verdict::pass(),
        Err(difference) => {
            let place = difference.path.trim_start_matches('.').to_owned();
            Verdict::new(Outcome::Fail, format!("differs at {place}"))
                .between(format!("{place}: {}", difference.got), difference.expected)
        }
    }
}

fn rejected(case: &Case, kinds: &Json, offset: Option<&Json>, reject: &Json) -> Verdict {
    let kind = &reject["kind"];
    if !kinds.as_array().is_some_and(|kinds| kinds.contains(kind)) {
        let brief = format!("reject {}", kind.as_str().unwrap_or_default());
        return Verdict::new(Outcome::Fail, brief).between(short(reject), expected(case));
    }
    let numbers =
        [("offset", offset), ("needed", case.expect().get("needed")), ("limit", case.expect().get("limit"))];
    for (name, expected) in numbers {
        if let Some(expected) = expected
            && integer_of(expected) != reject.get(name).and_then(integer_of)
        {
            let got = reject.get(name).map_or_else(|| "none".to_owned(), Json::to_string);
            return Verdict::new(Outcome::Fail, format!("{name} {got}"))
                .between(short(reject), format!("{name} {expected}"));
        }
    }
    Verdict::pass()
}

/// Where an answer differs first.
struct Difference {
    path: String,
    got: String,
    expected: String,
}

impl Difference {
    fn new(got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { path: String::new(), got: got.into(), expected: expected.into() }
    }

    fn below(mut self, step: &str) -> Self {
        self.path = format!("{step}{}", self.path);
        self
    }
}

type Comparison = Result<(), Difference>;

fn compare(case: &Case, accept: &Json, ok: &Json) -> Comparison {
    match case.op.as_str() {
        "retry.delay" => {
            let (interval, ms) = (&accept["interval"], ok["ms"].as_f64().unwrap_or(-1.0));
            let (low, high) = (interval[0].as_f64().unwrap_or(0.0), interval[1].as_f64().unwrap_or(0.0));
            // A millisecond is what languages round to.
            if (low.floor()..=high.ceil()).contains(&ms) {
                return Ok(());
            }
            Err(Difference::new(ms.to_string(), format!("{low} to {high}")).below("ms"))
        }
        "payload.write" => {
            let written_as_json = case.input().get("json").or_else(|| case.input().get("rows")).is_some();
            if !written_as_json {
                return members(accept, ok);
            }
            let text = bytes_of(&accept["data"]).unwrap_or_default();
            let got = ok["data"]["hex"].as_str().and_then(unhex);
            same_json(&text, got.as_deref()).map_err(|difference| difference.below("data"))
        }
        // The whole answer is known: one key in place of another is another answer.
        "payload.read" | "timestamp.parse" | "reply.plan"
            if accept.as_object().is_some_and(|map| map.len() == 1) =>
        {
            let (key, _) =
                accept.as_object().and_then(|map| map.iter().next()).unwrap_or_else(|| unreachable!());
            if key == "subject" && accept["subject"].is_null() && !ok["subject"].is_null() {
                return Err(Difference::new(short(&ok["subject"]), "null").below("subject"));
            }
            if ok.get(key).is_none() {
                return Err(Difference::new(short(ok), short(accept)));
            }
            members(accept, ok)
        }
        // The request line is told by those who know it.
        "link.policy" | "link.policy.wide" if ok.get("request").is_none() => Ok(()),
        _ => members(accept, ok),
    }
}

/// Every member that is expected is there and the same. What its name is says how it is compared.
fn members(expected: &Json, got: &Json) -> Comparison {
    let Some(names) = expected.as_object() else { return Ok(()) };
    for (name, expected) in names {
        let step = format!(".{name}");
        let found = match got.get(name) {
            Some(found) => found,
            // Where a payload is expected to be refused, the kinds are a list, with the offset beside it.
            None if name == "offset" => continue,
            None => return Err(Difference::new("missing", short(expected)).below(&step)),
        };
        let compared = match name.as_str() {
            "body" | "data" | "bytes" => same_bytes(expected, found),
            "metadata" | "json" | "rows" => {
                let text = bytes_of(expected).unwrap_or_default();
                same_json(&text, bytes_of(found).as_deref())
            }
            "table" => table(expected, found),
            "size" | "unix_ns" | "answered" => same_integer(expected, found),
            "reject" => payload_rejected(expected, names.get("offset"), found),
            "payloads" | "messages" => list(expected, found, members),
            "fields" | "reply" => members(expected, found),
            "transports" | "retry" => plain(expected, found),
            _ => same_string(expected, found),
        };
        compared.map_err(|difference| difference.below(&step))?;
    }
    // A payload that is expected to be readable must not be refused.
    if names.get("reject").is_none()
        && got.get("reject").is_some()
        && names.keys().any(|name| name == "bytes" || name == "url")
    {
        return Err(Difference::new(short(&got["reject"]), "no reject").below(".reject"));
    }
    Ok(())
}

/// As the members of an answer are compared; path, what was found, and what is expected.
pub(crate) fn compare_members(expected: &Json, got: &Json) -> Result<(), (String, String, String)> {
    members(expected, got).map_err(|difference| (difference.path, difference.got, difference.expected))
}

fn list(expected: &Json, got: &Json, each: fn(&Json, &Json) -> Comparison) -> Comparison {
    let (Some(expected), Some(got)) = (expected.as_array(), got.as_array()) else {
        return Err(Difference::new(short(got), short(expected)));
    };
    if expected.len() != got.len() {
        return Err(Difference::new(format!("{} of them", got.len()), format!("{}", expected.len())));
    }
    expected.iter().zip(got).enumerate().try_for_each(|(at, (expected, got))| {
        each(expected, got).map_err(|difference| difference.below(&format!("[{at}]")))
    })
}

fn plain(expected: &Json, got: &Json) -> Comparison {
    if expected == got { Ok(()) } else { Err(Difference::new(short(got), short(expected))) }
}

fn same_string(expected: &Json, got: &Json) -> Comparison {
    match (string_bytes(expected), string_bytes(got)) {
        (Some(a), Some(b)) if a == b => Ok(()),
        (None, None) if expected == got => Ok(()),
        _ => Err(Difference::new(short(got), short(expected))),
    }
}

fn same_integer(expected: &Json, got: &Json) -> Comparison {
    match (integer_of(expected), integer_of(got)) {
        (Some(a), Some(b)) if a == b => Ok(()),
        (None, None) if expected.is_null() && got.is_null() => Ok(()),
        _ => Err(Difference::new(short(got), short(expected))),
    }
}

fn same_bytes(expected: &Json, got: &Json) -> Comparison {
    let digest = |value: &Json| Some((value["sha256"].as_str()?.to_owned(), value["len"].as_u64()?));
    let expected_bytes = bytes_of(expected);
    let same = match (&expected_bytes, digest(expected), got["hex"].as_str().and_then(unhex), digest(got)) {
        (Some(a), _, Some(b), _) => *a == b,
        (Some(a), _, _, Some(b)) => (sha256(a), a.len() as u64) == b,
        (_, Some(a), Some(b), _) => a == (sha256(&b), b.len() as u64),
        (_, Some(a), _, Some(b)) => a == b,
        _ => false,
    };
    if same { Ok(()) } else { Err(Difference::new(short_bytes(got), short_bytes(expected))) }
}

fn same_json(expected: &[u8], got: Option<&[u8]>) -> Comparison {
    let unreadable = |text: &[u8], why: String| format!("{:.300} ({why})", String::from_utf8_lossy(text));
    let Some(got) = got else {
        return Err(Difference::new("no JSON text", String::from_utf8_lossy(expected)));
    };
    let value = Value::parse(got)
        .map_err(|why| Difference::new(unreadable(got, why), String::from_utf8_lossy(expected)))?;
    let wanted = Value::parse(expected)
        .map_err(|why| Difference::new(value.to_string(), format!("the vector is wrong: {why}")))?;
    match wanted.difference(&value) {
        None => Ok(()),
        Some(difference) => Err(Difference::new(format!("{value:.300}"), format!("{wanted:.300}"))
            .below(difference.split(" is ").next().unwrap_or_default())),
    }
}

fn payload_rejected(kinds: &Json, offset: Option<&Json>, got: &Json) -> Comparison {
    if !kinds.as_array().is_some_and(|kinds| kinds.contains(&got["kind"])) {
        return Err(Difference::new(short(got), short(kinds)));
    }
    match offset {
        Some(offset) if integer_of(offset) != got.get("offset").and_then(integer_of) => {
            Err(Difference::new(short(got), format!("offset {offset}")))
        }
        _ => Ok(()),
    }
}

fn table(expected: &Json, got: &Json) -> Comparison {
    if expected.get("rows").is_some() && expected["rows"] != got["rows"] {
        return Err(Difference::new(short(&got["rows"]), short(&expected["rows"])).below(".rows"));
    }
    list(&expected["columns"], &got["columns"], |expected, got| {
        same_string(&expected["name"], &got["name"]).map_err(|difference| difference.below(".name"))?;
        if let (Some(a), Some(b)) = (expected["type"].as_str(), got["type"].as_str())
            && !a.eq_ignore_ascii_case(b)
        {
            return Err(Difference::new(b, a).below(".type"));
        }
        list(&expected["values"], &got["values"], cell).map_err(|difference| difference.below(".values"))
    })
    .map_err(|difference| difference.below(".columns"))
}

fn cell(expected: &Json, got: &Json) -> Comparison {
    let same = match (expected, got) {
        (Json::Array(_), Json::Array(_)) => return list(expected, got, cell),
        (Json::Object(a), Json::Object(b)) if a.contains_key("f") || b.contains_key("f") => {
            // Every NaN is one.
            let bits = |value: &Json| value["f"].as_str().map(float);
            bits(expected).is_some() && bits(expected) == bits(got)
        }
        // Text and binary: `a` and {"hex":"61"} are the same bytes.
        (Json::Object(_) | Json::String(_), Json::Object(_) | Json::String(_)) => {
            string_bytes(expected).is_some() && string_bytes(expected) == string_bytes(got)
        }
        _ => expected == got,
    };
    if same { Ok(()) } else { Err(Difference::new(short(got), short(expected))) }
}

fn float(text: &str) -> String {
    let bits = u64::from_str_radix(text, 16).ok();
    match bits {
        Some(bits) if !f64::from_bits(bits).is_nan() => text.to_ascii_lowercase(),
        _ => "nan".to_owned(),
    }
}

/// What a case expects, in short.
pub fn expected(case: &Case) -> String {
    let expect = case.expect();
    match (expect.get("accept"), expect.get("reject")) {
        (Some(accept), _) => short(accept),
        (_, Some(kinds)) => {
            let kinds: Vec<&str> = kinds.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            let offset = expect.get("offset").map(|offset| format!(" at {offset}")).unwrap_or_default();
            format!("reject {}{offset}", kinds.join(" or "))
        }
        _ => short(&expect["either"]),
    }
}

fn short_bytes(value: &Json) -> String {
    let bytes = bytes_of(value);
    match bytes {
        Some(bytes) if bytes.len() > 300 => format!("{} bytes, sha256 {}", bytes.len(), sha256(&bytes)),
        Some(bytes) if !bytes.is_empty() && bytes.iter().all(|byte| (0x20..=0x7e).contains(byte)) => {
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => short(value),
    }
}

/// A value in one line of bounded length.
pub fn short(value: &Json) -> String {
    const MOST: usize = 600;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}... ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}
