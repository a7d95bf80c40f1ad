//! The codec against those that Node and Python programs have.

use super::{Aim, Ratio, Wanted, at_least};
use crate::input::{SIZES, Size};
use crate::measure::wall::{Effort, median, time, times_in};
use crate::rival::port::{Language, Port, times_in_turn};
use crate::scenario::Contestant;
use crate::scenarios;

const CLOCK: &str = "CPU time, of this thread and as the other program measures its own";

struct Target {
    operation: &'static str,
    size: Size,
    aim: Aim,
}

fn targets(language: Language) -> Vec<Target> {
    let [small, kib, kib16, kib64, kib512, mib, _] = SIZES;
    let mut all = Vec::new();
    let mut add = |operation, sizes: &[Size], target| {
        all.extend(sizes.iter().map(|&size| Target { operation, size, aim: at_least(target) }));
    };
    match language {
        Language::Node => {
            add("encode", &[small], 25.0);
            add("encode", &[kib16, kib64, kib512, mib], 90.0);
        }
        Language::Python => add("encode", &[kib16, kib64, kib512, mib], 100.0),
    }
    add("decode", &[small, kib, kib16], 7.0);
    add("decode", &[kib64, kib512, mib], 45.0);
    all
}

pub(super) fn measure(wanted: &Wanted<'_>, effort: Effort) -> Result<Vec<Ratio>, String> {
    let mut all = Vec::new();
    for language in [Language::Node, Language::Python] {
        let name = |target: &Target| format!("{}/{}/vs-{}", target.operation, target.size.0, language.name());
        let targets: Vec<_> =
            targets(language).into_iter().filter(|target| wanted.has(&name(target))).collect();
        if targets.is_empty() {
            continue;
        }
        let mut port = Port::start(language);
        for target in targets {
            let value = match &mut port {
                Ok(port) => {
                    Ok(ratio(port, &target, effort).map_err(|wrong| format!("{}: {wrong}", name(&target)))?)
                }
                Err(why) => Err(why.clone()),
            };
            all.push(Ratio::new(name(&target), value, target.aim, CLOCK));
        }
    }
    Ok(all)
}

/// The median of the rounds' ratios: its time as a multiple of ours.
fn ratio(port: &mut Port, target: &Target, effort: Effort) -> Result<f64, String> {
    let (name, _) = target.size;
    port.load(target.size)?;
    let mut own = own(target)?;
    let own_times = times_in(&mut own, effort.turn);

    let times = times_in_turn(port, name, target.operation)?;
    let mut ratios = Vec::new();
    for _ in 0..effort.rounds.div_ceil(4) {
        let theirs = port.run(name, target.operation, times)?.as_nanos() as f64 / times as f64;
        own.run(1);
        let ours = time(&mut own, own_times).as_nanos() as f64 / own_times as f64;
        ratios.push(theirs / ours);
    }
    Ok(median(ratios))
}

fn own(target: &Target) -> Result<Contestant, String> {
    let name = format!("envelope/{}/binary/{}", target.operation, target.size.0);
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == name);
    let own = scenario.ok_or(&name)?.checked(|contestant| contestant == "natsbridge")?.pop();
    own.ok_or(name)
}
