//! Allocations: exact counts, by a program whose allocator counts.

use std::alloc::System;

use stats_alloc::{Region, StatsAlloc};

use super::plant::Plant;
use crate::record::{Metric, Row};
use crate::scenario::Scenario;

/// Operations before counting begins: buffers that are used again have their size then.
const WARM_UP: u64 = 3;
/// Operations that are counted.
const COUNTED: u64 = 16;

/// Counts what each contestant that `wanted` accepts allocates for one operation: how often (growing included), and how
/// many bytes.
///
/// # Errors
/// A contestant gives a wrong answer.
pub fn measure(
    scenario: &Scenario,
    wanted: impl Fn(&str) -> bool,
    allocator: &'static StatsAlloc<System>,
    plant: Plant,
) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for mut contestant in scenario.checked(wanted)? {
        contestant.run(WARM_UP);
        let region = Region::new(allocator);
        plant.run(&mut contestant, COUNTED);
        let change = region.change();
        let name = format!("{}/{}", scenario.name, contestant.name);
        let per_operation = |count: usize| count as f64 / COUNTED as f64;
        let count = per_operation(change.allocations + change.reallocations);
        let bytes = per_operation(change.bytes_allocated);
        rows.push(Row { name: name.clone(), metric: Metric::Allocations, value: count });
        rows.push(Row { name, metric: Metric::AllocatedBytes, value: bytes });
    }
    Ok(rows)
}
