//! What may be fetched, and when to try again: pure functions.

use std::net::IpAddr;
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

pub(super) fn wide_policy(input: &Value) -> Answer {
    let mut policy = origins(input)?.into_iter().fold(Policy::none(), Policy::allow_origin);
    for domain in input["domains"].as_array().into_iter().flatten() {
        let domain = string_of(domain).ok_or_else(|| No::Broken("a domain is not UTF-8".to_owned()))?;
        policy = policy.allow_domain(&domain)?;
    }
    if input["any_host"] == true {
        policy = policy.allow_any();
    }
    if input["allow_private"] == true {
        policy = policy.allow_private();
    }
    let url = LinkUrl::parse(&string(input, "url")?)?;
    let reach = policy.check(&url)?;
    let resolved = input["resolved"].as_array().into_iter().flatten();
    let addresses: Vec<IpAddr> = resolved
        .map(|address| {
            let text = string_of(address).unwrap_or_default();
            text.parse().map_err(|_| No::Broken("what a host resolves to is no address".to_owned()))
        })
        .collect::<Result<_, _>>()?;
    let explained = policy.explain_at(url.as_str(), &addresses);
    let checked = addresses.into_iter().try_for_each(|address| reach.check(address));
    // Both say the same, or one of them is wrong.
    if checked.is_ok() != explained.is_allowed() {
        return Err(No::Broken(format!("the explanation differs from the verdict: {explained}")));
    }
    checked?;
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
