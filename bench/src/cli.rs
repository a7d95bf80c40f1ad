//! The command line.

use std::alloc::System;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
#[cfg(feature = "nats")]
use std::time::Duration;

use stats_alloc::StatsAlloc;

use crate::compare::{self, THRESHOLD};
use crate::machine::{self, Machine};
use crate::measure::plant::Plant;
use crate::measure::wall::{self, Effort};
use crate::measure::{alloc, icount};
#[cfg(feature = "nats")]
use crate::nats::latency;
use crate::record::{Metric, Record, Row};
use crate::scenario::Scenario;
use crate::{engine, ratios, report, scenarios, sibling, trackers};

const USAGE: &str = "\
usage: natsbridge-bench COMMAND [PART...] [OPTION...]

  list            the names of all scenarios
  test            every scenario once, answers checked, nothing timed
  wall            the time of every contestant, beside that of memcpy
  icount          instructions of the engine, counted under valgrind
  alloc           allocations of every contestant, counted exactly
  latency         request and reply through NATS, in percentiles
  ratios          the targets: met, missed or absent
  report [FILE]   everything, as a page and report.json in the folder --out (target/bench-report); of a
                  report.json that is there already, the page alone
  record          instructions, allocations and times of the engine, to --out FILE
  compare A B     what changed between two records; fails as the gate does

PART picks the names that contain it.

  --json          one JSON line for each row
  --quick         fewer rounds
  --gate          only the scenarios that the gate counts
  --plant FAULT   plants a `slowdown` or an `allocation` in what is counted
  --threshold N   by how many percent instructions may grow (2)
  --any-machine   compares records of different machines or compilers too
  --out PATH      where a record goes, with what trackers read beside it; the folder of a report";

/// What was asked for.
#[derive(Default)]
struct Args {
    command: String,
    parts: Vec<String>,
    json: bool,
    quick: bool,
    gate: bool,
    any_machine: bool,
    plant: Plant,
    threshold: Option<f64>,
    out: Option<PathBuf>,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut parsed = Args::default();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--any-machine" => parsed.any_machine = true,
            "--gate" => parsed.gate = true,
            "--json" => parsed.json = true,
            "--out" => parsed.out = Some(value()?.into()),
            "--plant" => parsed.plant = value()?.parse()?,
            "--quick" => parsed.quick = true,
            "--threshold" => {
                let percent: f64 = value()?.parse().map_err(|error| format!("--threshold: {error}"))?;
                if !(percent.is_finite() && percent >= 0.0) {
                    return Err(format!("--threshold: {percent} is no number of percent"));
                }
                parsed.threshold = Some(percent);
            }
            "--help" | "-h" => parsed.command = "help".into(),
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ if parsed.command.is_empty() => parsed.command = arg,
            _ => parsed.parts.push(arg),
        }
    }
    Ok(parsed)
}

impl Args {
    fn effort(&self) -> Effort {
        if self.quick { Effort::QUICK } else { Effort::FULL }
    }

    fn scenarios(&self) -> Vec<Scenario> {
        let wanted =
            |name: &str| self.parts.is_empty() || self.parts.iter().any(|part| name.contains(part.as_str()));
        let gate = |scenario: &Scenario| scenario.gated || !self.gate;
        scenarios::all().into_iter().filter(|scenario| wanted(&scenario.name) && gate(scenario)).collect()
    }

    /// The same where there must be some.
    fn some_scenarios(&self) -> Result<Vec<Scenario>, String> {
        let scenarios = self.scenarios();
        if scenarios.is_empty() { Err(self.nothing("scenario")) } else { Ok(scenarios) }
    }

    fn nothing(&self, what: &str) -> String {
        format!("no {what} has {} in its name: see `natsbridge-bench list`", self.parts.join(" or "))
    }
}

/// The program, named by the allocator that it was built with.
pub fn main(allocator: &str, counted: Option<&'static StatsAlloc<System>>) -> ExitCode {
    let done = parse(std::env::args().skip(1)).and_then(|args| run(&args, allocator, counted));
    match done {
        Ok(code) => code,
        Err(wrong) => {
            eprintln!("natsbridge-bench: {wrong}");
            ExitCode::from(2)
        }
    }
}

fn run(
    args: &Args,
    allocator: &str,
    counted: Option<&'static StatsAlloc<System>>,
) -> Result<ExitCode, String> {
    match args.command.as_str() {
        "list" => {
            for scenario in args.some_scenarios()? {
                println!("{}", scenario.name);
            }
        }
        "test" => {
            let scenarios = args.some_scenarios()?;
            for scenario in &scenarios {
                scenario.checked(|_| true)?;
            }
            println!("test: {} scenarios, all answers right", scenarios.len());
        }
        "wall" => {
            if !args.json {
                println!("# {}; allocator: {allocator}; tier {}", wall::CLOCK, engine::tier());
            }
            let scenarios = args.scenarios();
            for scenario in &scenarios {
                print_wall(scenario, args)?;
            }
            #[cfg(feature = "links")]
            let transfers = print_transfers(args)?;
            #[cfg(not(feature = "links"))]
            let transfers = 0;
            if scenarios.len() + transfers == 0 {
                return Err(args.nothing("scenario"));
            }
        }
        "icount" => {
            args.some_scenarios()?;
            return Ok(print_rows(args, &instructions(args)?));
        }
        "alloc" => match counted {
            Some(counted) => {
                let mut rows = Vec::new();
                for scenario in args.some_scenarios()? {
                    rows.extend(alloc::measure(&scenario, |_| true, counted, args.plant)?);
                }
                return Ok(print_rows(args, &rows));
            }
            None => {
                args.some_scenarios()?;
                return Ok(print_rows(args, &allocations(args)?));
            }
        },
        "ratios" => {
            let ratios = ratios::measure(&args.parts, args.effort())?;
            if args.json {
                for ratio in &ratios {
                    println!("{}", ratio.to_json());
                }
            } else {
                print!("{}", ratios::table(&ratios));
            }
            if ratios.is_empty() {
                return Err(args.nothing("target"));
            }
        }
        #[cfg(feature = "nats")]
        "latency" => {
            let segment = Duration::from_millis(if args.quick { 300 } else { 2500 });
            print!("{}", latency::table(&latency::measure(segment).map_err(|error| error.to_string())?));
        }
        "record" => return record(args, allocator),
        "report" => {
            let folder = args.out.as_deref().unwrap_or_else(|| Path::new("target/bench-report"));
            let measured = match args.parts.first() {
                // The page alone, of what was measured before.
                Some(file) => {
                    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
                    let report: serde_json::Value =
                        serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
                    if report["schema"] != 1 {
                        return Err(format!("{file}: it is no report"));
                    }
                    report
                }
                None => report::measure(allocator, args.effort())?,
            };
            report::write(&measured, folder)?;
            println!("report: {}", folder.join("index.html").display());
        }
        "compare" => return compare_records(args),
        // What this program asks of itself under valgrind.
        "cpu" => print!("{}", machine::cpu_features()),
        "rows" => {
            for scenario in args.scenarios() {
                for contestant in scenario.checked(|_| true)?.iter().filter(|contestant| contestant.is_own())
                {
                    println!("{}/{}", scenario.name, contestant.name);
                }
            }
        }
        "wall-run" => match &args.parts[..] {
            [scenario, wanted, rounds, turn] => wall::run(scenario, wanted, rounds, turn)?,
            _ => return Err("wall-run SCENARIO CONTESTANTS ROUNDS TURN".into()),
        },
        "icount-run" => match &args.parts[..] {
            [row, plant] => icount::run(row, plant.parse()?)?,
            _ => return Err("icount-run ROW PLANT".into()),
        },
        #[cfg(feature = "links")]
        "serve-files" => crate::links::serve(args.parts.first().ok_or("serve-files FOLDER")?.as_ref())
            .map_err(|error| error.to_string())?,
        #[cfg(feature = "links")]
        "upload-run" => match &args.parts[..] {
            [files, nats, file] => {
                let grown = crate::links::upload_run(files, nats, file.as_ref());
                println!("{}", grown.map_err(|error| error.to_string())?);
            }
            _ => return Err("upload-run FILES NATS FILE".into()),
        },
        "help" | "" => println!("{USAGE}"),
        other => return Err(format!("unknown command {other}\n{USAGE}")),
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_wall(scenario: &Scenario, args: &Args) -> Result<(), String> {
    let rows = wall::measure_apart(&scenario.name, &[], args.effort())?;
    if args.json {
        for row in &rows {
            let name = format!("{}/{}", scenario.name, row.contestant);
            println!("{}", Row { name, metric: Metric::Wall, value: row.median() }.to_json());
        }
        return Ok(());
    }
    let memcpy = rows.iter().find(|row| row.contestant == "memcpy");
    println!("{}", scenario.name);
    for row in &rows {
        let nanos = row.median();
        let over = memcpy.map_or(String::new(), |memcpy| format!("{:>9.2}x memcpy", row.over(memcpy)));
        println!(
            "  {:32} {nanos:>13.1} ns {:>8.2} GB/s {over}",
            row.contestant,
            scenario.bytes as f64 / nanos
        );
    }
    Ok(())
}

/// The rows of links, which are no scenarios: other processes take part. How many directions there were.
#[cfg(feature = "links")]
fn print_transfers(args: &Args) -> Result<usize, String> {
    use crate::links::{Direction, FILE_LEN, Place};
    use crate::ratios;

    let mut place = None;
    let mut count = 0;
    for direction in [Direction::Upload, Direction::Download] {
        let name = format!("link-{}/64MiB", direction.name());
        if !args.parts.is_empty() && !args.parts.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        if place.is_none() {
            place = Some(Place::new(FILE_LEN).map_err(|error| error.to_string())?);
        }
        count += 1;
        let rows = place.iter().flat_map(|place| place.measure(direction, (args.effort().rounds / 6).max(2)));
        if !args.json {
            println!("# {}", ratios::TRANSFER_CLOCK);
            println!("{name}");
        }
        for row in rows {
            match row {
                Ok(times) if args.json => {
                    let name = format!("{name}/{}", times.contestant);
                    println!("{}", Row { name, metric: Metric::Wall, value: times.median() }.to_json());
                }
                Ok(times) => {
                    let nanos = times.median();
                    println!(
                        "  {:32} {:>13.1} ms {:>8.2} GB/s",
                        times.contestant,
                        nanos / 1e6,
                        FILE_LEN as f64 / nanos
                    );
                }
                Err(why) => eprintln!("  absent: {why}"),
            }
        }
    }
    Ok(count)
}

fn print_rows(args: &Args, rows: &[Row]) -> ExitCode {
    let mut metric = None;
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_by_key(|row| row.metric); // stable: one table for each metric
    for row in sorted {
        if args.json {
            println!("{}", row.to_json());
            continue;
        }
        if metric.replace(row.metric) != Some(row.metric) {
            println!("# {}", row.metric.unit());
        }
        println!("{:>14.2}  {}", row.value, row.name);
    }
    verdict(!rows.is_empty())
}

/// Which rows there are is asked under valgrind: its CPU has other tiers than this one.
fn instructions(args: &Args) -> Result<Vec<Row>, String> {
    let mut list = vec!["rows"];
    list.extend(args.gate.then_some("--gate"));
    list.extend(args.parts.iter().map(String::as_str));
    let rows = icount::under_valgrind(&["--tool=none"], &list)?;
    let rows: Vec<_> = rows.lines().map(str::to_owned).collect();
    icount::measure(&rows, args.plant)
}

fn allocations(args: &Args) -> Result<Vec<Row>, String> {
    let mut list = vec!["alloc", "--json", "--plant", args.plant.name()];
    list.extend(args.gate.then_some("--gate"));
    list.extend(args.parts.iter().map(String::as_str));
    sibling::run(sibling::COUNTED, &list)?.lines().map(Row::from_text).collect()
}

/// The engine's rows of every metric, and the formats of the trackers beside them.
fn record(args: &Args, allocator: &str) -> Result<ExitCode, String> {
    let out = args.out.as_deref().ok_or("record needs --out FILE")?;
    args.some_scenarios()?;
    let mut rows = instructions(args)?;
    let own = |row: &Row| {
        row.name.rsplit('/').next().is_some_and(|contestant| contestant.starts_with("natsbridge"))
    };
    rows.extend(allocations(args)?.into_iter().filter(own));
    for scenario in args.scenarios() {
        for times in wall::measure_apart(&scenario.name, &["natsbridge*"], args.effort())? {
            let name = format!("{}/{}", scenario.name, times.contestant);
            rows.push(Row { name, metric: Metric::Wall, value: (times.median() * 10.0).round() / 10.0 });
        }
    }
    if rows.is_empty() {
        return Err("nothing was measured".into());
    }
    let record = Record { machine: Machine::here(allocator), rows };
    write(out, &record.to_text())?;
    write(
        &out.with_extension("github-action-benchmark.json"),
        &trackers::github_action_benchmark(&record).to_string(),
    )?;
    write(&out.with_extension("bencher.json"), &trackers::bencher(&record).to_string())?;
    println!("record: {} rows in {}", record.rows.len(), out.display());
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Exit code 1: the gate fails; 3: the records cannot be compared.
fn compare_records(args: &Args) -> Result<ExitCode, String> {
    let [base, new] = &args.parts[..] else { return Err("compare BASE NEW".into()) };
    let (base, new) = (Record::load(Path::new(base))?, Record::load(Path::new(new))?);
    let differences = base.machine.differences(&new.machine);
    for difference in &differences {
        println!("compare: another machine or compiler: {difference}");
    }
    if !differences.is_empty() && !args.any_machine {
        println!(
            "compare: counts of different machines or compilers say nothing about the code (--any-machine)"
        );
        return Ok(ExitCode::from(3));
    }
    let threshold = args.threshold.unwrap_or(THRESHOLD);
    let comparison = compare::compare(&base, &new, threshold);
    println!("{}", comparison.text);
    for failure in &comparison.failures {
        println!("compare: FAILED {failure}");
    }
    if comparison.failures.is_empty() {
        println!(
            "compare: passed (instructions within {threshold} %, no new allocation where there was none)"
        );
    }
    Ok(verdict(comparison.failures.is_empty()))
}
