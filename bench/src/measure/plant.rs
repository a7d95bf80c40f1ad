//! Faults to plant, so that a test can see the gate find them.

use std::hint::black_box;
use std::str::FromStr;

use crate::scenario::Contestant;

/// What is wrong with the measured code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plant {
    /// Nothing.
    #[default]
    None,
    /// Every tenth operation is done twice.
    Slowdown,
    /// One small allocation for each operation.
    Allocation,
}

impl Plant {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slowdown => "slowdown",
            Self::Allocation => "allocation",
        }
    }

    pub(super) fn run(self, contestant: &mut Contestant, times: u64) {
        match self {
            Self::None => contestant.run(times),
            Self::Slowdown => contestant.run(times + times / 10),
            Self::Allocation => {
                for _ in 0..times {
                    contestant.run(1);
                    drop(black_box(Box::new([0_u8; 24])));
                }
            }
        }
    }
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::None, Self::Slowdown, Self::Allocation];
        all.into_iter().find(|plant| plant.name() == name).ok_or_else(|| format!("no such plant: {name}"))
    }
}
