//! The targets: what each is, and what it measures on this machine.

mod allocations;
mod codec;
#[cfg(feature = "links")]
mod links;
#[cfg(feature = "nats")]
mod nats;
mod ports;

use std::fmt::Write as _;

#[cfg(feature = "links")]
pub use self::links::TRANSFER_CLOCK;

use serde_json::{Value, json};

use crate::engine;
use crate::measure::wall::Effort;

/// Which way a value is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Better {
    /// At most the target.
    Lower,
    /// At least the target.
    Higher,
}

impl Better {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
        }
    }
}

/// One target and what was measured.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ratio {
    /// Stable: the same in every version.
    pub name: String,
    /// What was measured, or why nothing was: a rival that is not on this machine.
    pub value: Result<f64, String>,
    /// The value to reach.
    pub target: f64,
    /// Which way is better.
    pub better: Better,
    /// How it was measured.
    pub clock: &'static str,
}

impl Ratio {
    /// Whether the target is reached; never without a value.
    pub fn met(&self) -> bool {
        match (&self.value, self.better) {
            (Ok(value), Better::Lower) => *value <= self.target,
            (Ok(value), Better::Higher) => *value >= self.target,
            (Err(_), _) => false,
        }
    }

    /// One line of `ratios --json`.
    pub fn to_json(&self) -> Value {
        let mut line = json!({
            "name": self.name,
            "value": self.value.as_ref().ok().map(|value| (value * 1000.0).round() / 1000.0),
            "target": self.target,
            "better": self.better.as_str(),
            "met": self.met(),
            "tier": engine::tier(),
        });
        if let Err(why) = &self.value {
            line["absent"] = why.as_str().into();
        }
        line
    }
}

impl Ratio {
    /// The same, and how it was measured.
    pub(crate) fn to_json_with_clock(&self) -> Value {
        let mut line = self.to_json();
        line["clock"] = self.clock.into();
        line
    }

    fn new(name: String, value: Result<f64, String>, (better, target): Aim, clock: &'static str) -> Self {
        Self { name, value, target, better, clock }
    }
}

/// Which way, and how far.
type Aim = (Better, f64);

fn at_most(target: f64) -> Aim {
    (Better::Lower, target)
}

fn at_least(target: f64) -> Aim {
    (Better::Higher, target)
}

/// Which targets to measure.
#[derive(Debug)]
struct Wanted<'a>(&'a [String]);

impl Wanted<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|part| name.contains(part.as_str()))
    }
}

/// Measures every target whose name contains one of `wanted`, all if it is empty.
///
/// # Errors
/// A contestant gives a wrong answer.
pub fn measure(wanted: &[String], effort: Effort) -> Result<Vec<Ratio>, String> {
    let wanted = Wanted(wanted);
    let mut all = codec::measure(&wanted, effort)?;
    all.extend(ports::measure(&wanted, effort)?);
    all.extend(allocations::measure(&wanted)?);
    #[cfg(feature = "nats")]
    all.extend(nats::measure(&wanted, effort));
    #[cfg(feature = "links")]
    all.extend(links::measure(&wanted, effort));
    Ok(all)
}

/// The table for people.
pub fn table(ratios: &[Ratio]) -> String {
    let mut out = String::new();
    let width = ratios.iter().map(|ratio| ratio.name.len()).max().unwrap_or(0);
    let mut clock = "";
    for ratio in ratios {
        if ratio.clock != clock {
            clock = ratio.clock;
            let _ = writeln!(out, "# {clock}; tier {}", engine::tier());
        }
        let sign = if ratio.better == Better::Lower { "<=" } else { ">=" };
        let verdict = if ratio.met() { "met" } else { "MISSED" };
        let _ = match &ratio.value {
            Ok(value) => {
                writeln!(out, "{:width$}  {value:>9.2}  {sign} {:<6} {verdict}", ratio.name, ratio.target)
            }
            Err(why) => {
                writeln!(out, "{:width$}  {:>9}  {sign} {:<6} absent: {why}", ratio.name, "-", ratio.target)
            }
        };
    }
    let met = ratios.iter().filter(|ratio| ratio.met()).count();
    let absent = ratios.iter().filter(|ratio| ratio.value.is_err()).count();
    let missed = ratios.len() - met - absent;
    let _ = writeln!(out, "ratios: {met} met, {missed} missed, {absent} absent");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_never_met() {
        let ratio = |value, aim| Ratio::new("x".into(), value, aim, "clock");
        assert!(ratio(Ok(1.35), at_most(1.35)).met());
        assert!(!ratio(Ok(1.36), at_most(1.35)).met());
        assert!(ratio(Ok(2.5), at_least(2.5)).met());
        assert!(!ratio(Ok(f64::NAN), at_least(2.5)).met());
        let absent = ratio(Err("no node".into()), at_least(2.5));
        assert!(!absent.met());
        let line = absent.to_json();
        assert_eq!(
            (&line["value"], &line["met"], &line["absent"]),
            (&Value::Null, &false.into(), &"no node".into())
        );
        assert_eq!(line["better"], "higher");
        assert!(table(&[absent]).contains("0 met, 0 missed, 1 absent"));
    }
}
