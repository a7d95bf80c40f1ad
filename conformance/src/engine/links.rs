//! What may be fetched, and when to try again: pure functions.

use std::time::Duration;

use natsbridge::link::{LinkUrl, Origin, Policy, Retry};
use serde_json::{Value, json};

use super::{Answer, No, string};
use crate::bytes::{answer_string, integer_of, string_of};

pub(super) fn policy(input: &Value) -> Answer {
    let policy = origins(input)?.into_iter().fold(Policy::none(), Policy::allow_origin);
    let url = LinkUrl::parse(&string(input, "url")?)?;
    policy.check(&url)?;
    Ok(json!({"request": answer_string(url.as_str())}))
}

/// The origins that a request allows.
pub(super) fn origins(input: &Value) -> Result<Vec<Origin>, No> {
    let names = input["origins"].as_array().into_iter().flatten();
    names
        .map(|name| {
            let name = string_of(name).ok_or_else(|| No::Broken("an origin is not UTF-8".to_owned()))?;
            Ok(Origin::parse(&name)?)
        })
        .collect()
}

/// A retry schedule as a request gives it; the default where it says nothing.
pub(super) fn schedule(input: &Value) -> Retry {
    let millis = |key: &str| {
        let value = input.get(key).and_then(integer_of)?;
        Some(Duration::from_millis(u64::try_from(value).unwrap_or(u64::MAX)))
    };
    let mut retry = Retry::default();
    if let Some(count) = input.get("max_retries").and_then(integer_of) {
        retry = retry.max_retries(u32::try_from(count).unwrap_or(u32::MAX));
    }
    if let Some(base) = millis("base_ms") {
        retry = retry.base_delay(base);
    }
    if let Some(max) = millis("max_ms") {
        retry = retry.max_delay(max);
    }
    retry
}

pub(super) fn retry_delay(input: &Value) -> Answer {
    let number = |key: &str| input.get(key).and_then(integer_of).and_then(|value| u64::try_from(value).ok());
    let retry = u32::try_from(number("retry").unwrap_or_default()).unwrap_or(u32::MAX);
    let wait = schedule(input).max_retries(u32::MAX).delay(
        retry,
        number("seed").unwrap_or_default(),
        number("retry_after_ms").map(Duration::from_millis),
    );
    let wait = wait.ok_or_else(|| No::Broken("the schedule gave up".to_owned()))?;
    Ok(json!({"ms": wait.as_secs_f64() * 1000.0}))
}
