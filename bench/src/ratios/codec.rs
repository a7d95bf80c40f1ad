//! The codec against a copy of the bytes, against naive code, and against base64-simd.

use std::collections::{BTreeMap, BTreeSet};

use super::{Aim, Ratio, Wanted, at_least, at_most};
use crate::measure::wall::{self, Effort, Times};
use crate::{engine, scenarios};

/// A target between two contestants of one scenario: the time of `slow` as a multiple of that of `fast`.
struct Target {
    name: String,
    scenario: String,
    slow: String,
    fast: String,
    aim: Aim,
}

fn targets() -> Vec<Target> {
    let mut all = Vec::new();
    let own = "natsbridge";
    let avx2 = engine::tier() == "avx2";
    let mut memcpy = |operation: &str, size: &str, target: f64| {
        all.push(Target {
            name: format!("{operation}/{size}/vs-memcpy"),
            scenario: format!("envelope/{operation}/binary/{size}"),
            slow: own.into(),
            fast: "memcpy".into(),
            aim: at_most(target),
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
        all.push(Target {
            name: format!("{name}/vs-naive"),
            scenario: format!("envelope/{scenario}"),
            slow: "serde_json+base64".into(),
            fast: own.into(),
            aim: at_least(target),
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
    // The kernels for AVX2 are there because they are half as fast again.
    let kernels = if avx2 { 1.5 } else { 2.5 };
    for operation in ["encode", "decode"] {
        for size in ["16KiB", "64KiB", "512KiB", "1MiB"] {
            all.push(Target {
                name: format!("base64-{operation}/{size}/vs-base64-simd"),
                scenario: format!("base64/{operation}/random/{size}"),
                slow: "base64-simd".into(),
                fast: format!("natsbridge-{}", engine::tier()),
                aim: at_least(kernels),
            });
        }
    }
    all
}

pub(super) fn measure(wanted: &Wanted<'_>, effort: Effort) -> Result<Vec<Ratio>, String> {
    let targets: Vec<_> = targets().into_iter().filter(|target| wanted.has(&target.name)).collect();
    let known: BTreeSet<String> = scenarios::all().into_iter().map(|scenario| scenario.name).collect();

    // Every scenario once, with all that any target wants of it.
    let mut contestants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for target in &targets {
        contestants.entry(&target.scenario).or_default().extend([target.slow.as_str(), target.fast.as_str()]);
    }
    let mut measured: BTreeMap<&str, Vec<Times>> = BTreeMap::new();
    for (name, wanted) in contestants {
        if known.contains(name) {
            measured.insert(name, wall::measure_apart(name, &wanted, effort)?);
        }
    }

    let own_kernels = matches!(engine::tier(), "avx2" | "avx512");
    let ratio = |target: &Target| {
        if target.slow == "base64-simd" && !own_kernels {
            return Err(format!("there are no kernels of our own in the tier {}", engine::tier()));
        }
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
        .map(|target| Ratio::new(target.name.clone(), ratio(target), target.aim, wall::CLOCK))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_names_contestants_that_are_there() {
        let scenarios = scenarios::all();
        let mut names: Vec<_> = targets().into_iter().map(|target| target.name).collect();
        for target in targets() {
            if target.scenario.ends_with("MiB") || target.scenario.contains("fresh") {
                continue; // the first takes long to make, the second is not in every build
            }
            let scenario = scenarios.iter().find(|scenario| scenario.name == target.scenario);
            let contestants = scenario.expect(&target.scenario).names();
            for wanted in [&target.slow, &target.fast] {
                assert!(contestants.contains(wanted), "{} is not in {}", wanted, target.scenario);
            }
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), targets().len());
    }
}
