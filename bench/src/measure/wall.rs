//! Time: the contestants of a scenario take turns inside each round, so that what disturbs one disturbs all.

use std::process::Command;
use std::time::Duration;

use cpu_time::ThreadTime;

use crate::scenario::{Contestant, Scenario};
use crate::scenarios;

/// The clock of every codec row. Time that the machine gives to others does not count.
pub const CLOCK: &str = "thread CPU time (CLOCK_THREAD_CPUTIME_ID)";

/// How many sets of buffers a scenario is measured with.
const RENEWALS: usize = 5;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Effort {
    /// How often every contestant takes its turn.
    pub rounds: usize,
    /// How long a turn is to be.
    pub turn: Duration,
}

impl Effort {
    /// Enough for ratios that repeat to a few percent.
    pub const FULL: Self = Self { rounds: 41, turn: Duration::from_micros(1500) };
    /// Enough to see a factor.
    pub const QUICK: Self = Self { rounds: 9, turn: Duration::from_micros(400) };
}

/// What a contestant took.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Times {
    /// The contestant's name.
    pub contestant: String,
    /// Nanoseconds for one operation, in each round.
    pub rounds: Vec<f64>,
}

impl Times {
    /// The median of the rounds, in nanoseconds for one operation.
    pub fn median(&self) -> f64 {
        median(self.rounds.clone())
    }

    /// The median of the rounds' ratios: this contestant's time as a multiple of `other`'s in the same round.
    pub fn over(&self, other: &Self) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(a, b)| a / b).collect())
    }
}

/// The middle value; NaN where there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// [`measure`] in a process of its own: an allocator remembers what it has seen, glibc's above all (how large a block
/// it takes from the system and gives back), and no scenario is to depend on those before it. All contestants if
/// `wanted` is empty; `abc*` is every one whose name begins so.
///
/// # Errors
/// As [`measure`].
pub fn measure_apart(scenario: &str, wanted: &[&str], effort: Effort) -> Result<Vec<Times>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let ran = Command::new(program)
        .args(["wall-run", scenario, &wanted.join(",")])
        .args([effort.rounds.to_string(), effort.turn.as_micros().to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned());
    }
    let times = |line: &str| {
        let (contestant, rounds) = line.split_once('\t')?;
        let rounds = rounds.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Times { contestant: contestant.into(), rounds })
    };
    let lines = String::from_utf8_lossy(&ran.stdout);
    lines.lines().map(|line| times(line).ok_or_else(|| format!("not a row of times: {line}"))).collect()
}

/// The inner side of [`measure_apart`].
///
/// # Errors
/// There is no such scenario, or as [`measure`].
pub fn run(scenario: &str, wanted: &str, rounds: &str, turn: &str) -> Result<(), String> {
    let number = |text: &str| text.parse::<u32>().map_err(|error| format!("{text}: {error}"));
    let effort =
        Effort { rounds: number(rounds)? as usize, turn: Duration::from_micros(number(turn)?.into()) };
    let found = scenarios::all().into_iter().find(|known| known.name == scenario);
    let scenario = found.ok_or_else(|| format!("no scenario {scenario}"))?;
    let is =
        |one: &str, name: &str| one.strip_suffix('*').map_or(one == name, |start| name.starts_with(start));
    let accepts = |name: &str| wanted.is_empty() || wanted.split(',').any(|one| is(one, name));
    for row in measure(&scenario, accepts, effort)? {
        let rounds: Vec<_> = row.rounds.iter().map(f64::to_string).collect();
        println!("{}\t{}", row.contestant, rounds.join(" "));
    }
    Ok(())
}

/// Times the contestants that `wanted` accepts; the answers are checked first.
///
/// # Errors
/// A contestant gives a wrong answer.
pub fn measure(
    scenario: &Scenario,
    wanted: impl Fn(&str) -> bool,
    effort: Effort,
) -> Result<Vec<Times>, String> {
    let mut contestants = scenario.checked(&wanted)?;
    let times: Vec<u64> = contestants.iter_mut().map(|one| times_in(one, effort.turn)).collect();
    let mut rows: Vec<Times> = contestants
        .iter()
        .map(|contestant| Times { contestant: contestant.name.clone(), rounds: Vec::new() })
        .collect();
    // Where buffers lie in memory, and so in the caches, is luck that lasts as long as they do: they are made anew a few
    // times, beside the old ones, so that the median has seen several.
    let mut former = Vec::new();
    let renewal = effort.rounds.div_ceil(RENEWALS).max(1);
    for round in 0..effort.rounds {
        if round > 0 && round.is_multiple_of(renewal) {
            former.push(std::mem::replace(&mut contestants, scenario.checked(&wanted)?));
        }
        for turn in 0..contestants.len() {
            // Everybody follows everybody, not always the same.
            let at = (turn + round) % contestants.len();
            contestants[at].run(1); // its data back into the caches
            let spent = time(&mut contestants[at], times[at]);
            rows[at].rounds.push(spent.as_nanos() as f64 / times[at] as f64);
        }
    }
    Ok(rows)
}

pub(crate) fn time(contestant: &mut Contestant, times: u64) -> Duration {
    let begun = ThreadTime::now();
    contestant.run(times);
    begun.elapsed()
}

/// How many operations fill a turn.
pub(crate) fn times_in(contestant: &mut Contestant, turn: Duration) -> u64 {
    let mut times = 1;
    loop {
        let spent = time(contestant, times);
        if spent * 2 >= turn {
            let exact = times as f64 * turn.as_secs_f64() / spent.as_secs_f64();
            return (exact as u64).max(1);
        }
        times *= 2;
    }
}
