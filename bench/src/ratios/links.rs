//! Transfers of a file, against bare hyper, curl and NATS' object store; and the memory that an upload takes.

use super::{Aim, Ratio, Wanted, at_least, at_most};
use crate::links::{CONTESTANTS, Direction, FILE_LEN, Place};
use crate::measure::wall::{Effort, Times};

/// How transfers are timed.
pub const TRANSFER_CLOCK: &str = "wall clock, file server in another process on this machine";
const GROWTH: &str = "growth of the process beyond its size before, in MB";

fn targets() -> Vec<(&'static str, &'static str, Aim)> {
    vec![
        ("link-upload/64MiB/vs-hyper", "hyper", at_least(0.95)),
        ("link-upload/64MiB/vs-curl", "curl", at_least(1.0)),
        ("link-upload/64MiB/vs-object-store", "object-store", at_least(2.0)),
        ("link-download/64MiB/vs-hyper", "hyper", at_least(0.95)),
        ("link-download/64MiB/vs-curl", "curl", at_least(1.0)),
        ("link-download/64MiB/vs-object-store", "object-store", at_least(1.0)),
        ("link-upload/64MiB/memory-growth-mb", "", at_most(16.0)),
    ]
}

pub(super) fn measure(wanted: &Wanted<'_>, effort: Effort) -> Vec<Ratio> {
    let targets: Vec<_> = targets().into_iter().filter(|(name, ..)| wanted.has(name)).collect();
    if targets.is_empty() {
        return Vec::new();
    }
    let place = Place::new(FILE_LEN).map_err(|error| error.to_string());
    let times = |direction: Direction| -> Vec<Result<Times, String>> {
        let timed = |(name, rival, _): &(&str, &str, _)| !rival.is_empty() && name.contains(direction.name());
        match &place {
            Ok(place) if targets.iter().any(timed) => place.measure(direction, (effort.rounds / 6).max(2)),
            _ => Vec::new(),
        }
    };
    let (uploads, downloads) = (times(Direction::Upload), times(Direction::Download));
    let value = |name: &str, rival: &str| -> Result<f64, String> {
        let place = place.as_ref().map_err(Clone::clone)?;
        if rival.is_empty() {
            return place.growth().map_err(|error| error.to_string());
        }
        let times = if name.contains(Direction::Upload.name()) { &uploads } else { &downloads };
        let of = |name: &str| -> Result<&Times, String> {
            let at = CONTESTANTS.iter().position(|known| *known == name);
            at.and_then(|at| times.get(at)).ok_or("not measured")?.as_ref().map_err(Clone::clone)
        };
        Ok(of(rival)?.over(of("natsbridge")?))
    };
    targets
        .into_iter()
        .map(|(name, rival, aim)| {
            Ratio::new(
                name.into(),
                value(name, rival),
                aim,
                if rival.is_empty() { GROWTH } else { TRANSFER_CLOCK },
            )
        })
        .collect()
}
