//! The command line.

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::StatsAlloc;

use crate::measure::wall::{self, Effort};
use crate::scenario::Scenario;
use crate::{engine, ratios, scenarios};

const USAGE: &str = "\
usage: natsbridge-bench COMMAND [PART...] [--json] [--quick]

  list            the names of all scenarios
  test            every scenario once, answers checked, nothing timed
  wall            the time of every contestant, beside that of memcpy
  ratios          the targets: met, missed or absent; --json for one JSON line each

PART picks the names that contain it.";

/// What was asked for.
struct Args {
    command: String,
    parts: Vec<String>,
    json: bool,
    quick: bool,
}

fn parse(args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut parsed = Args { command: String::new(), parts: Vec::new(), json: false, quick: false };
    for arg in args {
        match arg.as_str() {
            "--json" => parsed.json = true,
            "--quick" => parsed.quick = true,
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
        scenarios::all().into_iter().filter(|scenario| wanted(&scenario.name)).collect()
    }
}

/// The program, named by the allocator that it was built with.
pub fn main(allocator: &str, _counted: Option<&'static StatsAlloc<System>>) -> ExitCode {
    let done = parse(std::env::args().skip(1)).and_then(|args| run(&args, allocator));
    match done {
        Ok(code) => code,
        Err(wrong) => {
            eprintln!("natsbridge-bench: {wrong}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args, allocator: &str) -> Result<ExitCode, String> {
    match args.command.as_str() {
        "list" => {
            for scenario in args.scenarios() {
                println!("{}", scenario.name);
            }
        }
        "test" => {
            let scenarios = args.scenarios();
            for scenario in &scenarios {
                scenario.checked(&[])?;
            }
            println!("test: {} scenarios, all answers right", scenarios.len());
            return Ok(verdict(!scenarios.is_empty()));
        }
        "wall" => {
            println!("# {}; allocator: {allocator}; tier {}", wall::CLOCK, engine::tier());
            for scenario in args.scenarios() {
                print_wall(&scenario, args.effort())?;
            }
        }
        "ratios" => {
            let ratios = ratios::measure(&args.parts, args.effort())?;
            if args.json {
                for ratio in &ratios {
                    println!("{}", ratio.to_json());
                }
            } else {
                print!("{}", ratios::table(&ratios));
            }
            return Ok(verdict(!ratios.is_empty()));
        }
        "help" | "" => println!("{USAGE}"),
        other => return Err(format!("unknown command {other}\n{USAGE}")),
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_wall(scenario: &Scenario, effort: Effort) -> Result<(), String> {
    let rows = wall::measure(scenario, &[], effort)?;
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
