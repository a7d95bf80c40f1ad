//! The targets: what each is, and what it measures on this machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::engine;
use crate::measure::wall::{self, Effort, Times};
use crate::scenario::Scenario;
use crate::scenarios;

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

/// A target between two contestants of one scenario: the time of `slow` as a multiple of that of `fast`.
struct Codec {
    name: String,
    scenario: String,
    slow: String,
    fast: String,
    target: f64,
    better: Better,
}

fn codec_targets() -> Vec<Codec> {
    let mut all = Vec::new();
    let own = "natsbridge";
    let avx2 = engine::tier() == "avx2";
    let mut memcpy = |operation: &str, size: &str, target: f64| {
        all.push(Codec {
            name: format!("{operation}/{size}/vs-memcpy"),
            scenario: format!("envelope/{operation}/binary/{size}"),
            slow: own.into(),
            fast: "memcpy".into(),
            target,
            better: Better::Lower,
        });
    };
    if !avx2 {
        memcpy("encode", "16KiB", 2.6);
    }
    for size in ["64KiB", "512KiB", "1MiB", "16MiB"] {
        memcpy("encode", size, if avx2 { 2.3 } else { 1.35 });
    }
    if !avx2 {
        memcpy("decode", "64KiB", 1.45);
    }
    for size in ["512KiB", "1MiB", "16MiB"] {
        memcpy("decode", size, if avx2 { 2.6 } else { 1.2 });
    }
    let mut naive = |name: &str, scenario: &str, target: f64| {
        all.push(Codec {
            name: format!("{name}/vs-naive"),
            scenario: format!("envelope/{scenario}"),
            slow: "serde_json+base64".into(),
            fast: own.into(),
            target,
            better: Better::Higher,
        });
    };
    let encode =
        [("64B", 8.0), ("1KiB", 18.0), ("16KiB", 35.0), ("64KiB", 35.0), ("512KiB", 35.0), ("1MiB", 35.0)];
    for (size, target) in encode {
        naive(&format!("encode/{size}"), &format!("encode/binary/{size}"), target);
    }
    let decode =
        [("64B", 9.0), ("1KiB", 12.0), ("16KiB", 20.0), ("64KiB", 30.0), ("512KiB", 30.0), ("1MiB", 30.0)];
    for (size, target) in decode {
        naive(&format!("decode/{size}"), &format!("decode/binary/{size}"), target);
    }
    naive("decode-any-order/64B", "decode/any-order/64B", 4.0);
    naive("encode-fresh/64B", "encode-fresh/binary/64B", 10.0);
    for operation in ["encode", "decode"] {
        for size in ["16KiB", "64KiB", "512KiB", "1MiB"] {
            all.push(Codec {
                name: format!("base64-{operation}/{size}/vs-base64-simd"),
                scenario: format!("base64/{operation}/random/{size}"),
                slow: "base64-simd".into(),
                fast: format!("natsbridge-{}", engine::tier()),
                target: 2.5,
                better: Better::Higher,
            });
        }
    }
    all
}

/// Measures every target whose name contains one of `wanted`, all if it is empty.
///
/// # Errors
/// A contestant gives a wrong answer.
pub fn measure(wanted: &[String], effort: Effort) -> Result<Vec<Ratio>, String> {
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let targets: Vec<_> = codec_targets().into_iter().filter(|target| chosen(&target.name)).collect();
    let scenarios: BTreeMap<String, Scenario> =
        scenarios::all().into_iter().map(|scenario| (scenario.name.clone(), scenario)).collect();

    // Every scenario once, with all that any target wants of it.
    let mut contestants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for target in &targets {
        contestants.entry(&target.scenario).or_default().extend([target.slow.as_str(), target.fast.as_str()]);
    }
    let mut measured: BTreeMap<&str, Vec<Times>> = BTreeMap::new();
    for (name, wanted) in contestants {
        if let Some(scenario) = scenarios.get(name) {
            measured.insert(name, wall::measure(scenario, |name| wanted.contains(&name), effort)?);
        }
    }

    let ratio = |target: &Codec| {
        let times = measured.get(target.scenario.as_str());
        let times = times.ok_or_else(|| format!("{} is not in this build", target.scenario))?;
        let of = |name: &str| {
            let found = times.iter().find(|times| times.contestant == name);
            found.ok_or_else(|| format!("{name} is not in this build"))
        };
        Ok(of(&target.slow)?.over(of(&target.fast)?))
    };
    Ok(targets
        .iter()
        .map(|target| Ratio {
            name: target.name.clone(),
            value: ratio(target),
            target: target.target,
            better: target.better,
            clock: wall::CLOCK,
        })
        .collect())
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
