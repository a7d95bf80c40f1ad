//! What the hot path allocates: nothing.

use super::{Ratio, Wanted, at_most};
use crate::record::{Metric, Row};
use crate::sibling;

const CLOCK: &str = "allocations for one message, counted";

/// Name and row.
const TARGETS: [(&str, &str); 5] = [
    ("allocations/encode/64B", "envelope/encode/binary/64B/natsbridge"),
    ("allocations/encode/64KiB", "envelope/encode/binary/64KiB/natsbridge"),
    ("allocations/encode/1MiB", "envelope/encode/binary/1MiB/natsbridge"),
    ("allocations/scan/1-payload", "envelope/scan/binary/64KiB/natsbridge"),
    ("allocations/scan/8-payloads", "envelope/scan/payloads-8/1KiB/natsbridge"),
];

pub(super) fn measure(wanted: &Wanted<'_>) -> Result<Vec<Ratio>, String> {
    let targets: Vec<_> = TARGETS.into_iter().filter(|(name, _)| wanted.has(name)).collect();
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let mut args = vec!["alloc", "--json"];
    args.extend(targets.iter().filter_map(|(_, row)| row.strip_suffix("/natsbridge")));
    let rows = sibling::run(sibling::COUNTED, &args)
        .and_then(|lines| lines.lines().map(Row::from_text).collect::<Result<Vec<_>, _>>());
    let value = |wanted: &str| {
        let rows = rows.as_ref().map_err(Clone::clone)?;
        let found = rows.iter().find(|row| row.name == wanted && row.metric == Metric::Allocations);
        found.map(|row| row.value).ok_or_else(|| format!("{wanted} is not in this build"))
    };
    let ratio = |(name, row): (&str, &str)| Ratio::new(name.into(), value(row), at_most(0.0), CLOCK);
    Ok(targets.into_iter().map(ratio).collect())
}
