//! Uploads of a file, against bare hyper, curl and NATS' object store; and the memory that they take.

use super::{Aim, Ratio, Wanted, at_least, at_most};
use crate::links::{FILE_LEN, Place};
use crate::measure::wall::{Effort, Times};

const CLOCK: &str = "wall clock, file server in another process on this machine";
const GROWTH: &str = "growth of the process beyond its size before, in MB";

fn targets() -> Vec<(&'static str, &'static str, Aim)> {
    vec![
        ("link-upload/64MiB/vs-hyper", "hyper", at_least(0.95)),
        ("link-upload/64MiB/vs-curl", "curl", at_least(1.0)),
        ("link-upload/64MiB/vs-object-store", "object-store", at_least(2.0)),
        ("link-upload/64MiB/memory-growth-mb", "", at_most(16.0)),
    ]
}

pub(super) fn measure(wanted: &Wanted<'_>, effort: Effort) -> Vec<Ratio> {
    let targets: Vec<_> = targets().into_iter().filter(|(name, ..)| wanted.has(name)).collect();
    if targets.is_empty() {
        return Vec::new();
    }
    let place = Place::new(FILE_LEN).map_err(|error| error.to_string());
    let times = match &place {
        Ok(place) if targets.iter().any(|(_, rival, _)| !rival.is_empty()) => {
            place.measure((effort.rounds / 6).max(2))
        }
        _ => Vec::new(),
    };
    let value = |rival: &str| -> Result<f64, String> {
        let place = place.as_ref().map_err(Clone::clone)?;
        if rival.is_empty() {
            return place.growth().map_err(|error| error.to_string());
        }
        let of = |name: &str| -> Result<&Times, String> {
            let at = crate::links::CONTESTANTS.iter().position(|known| *known == name);
            at.and_then(|at| times.get(at)).ok_or("not measured")?.as_ref().map_err(Clone::clone)
        };
        Ok(of(rival)?.over(of("natsbridge")?))
    };
    targets
        .into_iter()
        .map(|(name, rival, aim)| {
            Ratio::new(name.into(), value(rival), aim, if rival.is_empty() { GROWTH } else { CLOCK })
        })
        .collect()
}
