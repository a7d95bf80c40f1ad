//! `natsbridge-conformance`: runs the vectors against a testee, keeps the vectors clean, and merges reports.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use natsbridge_conformance::judge::Outcome;
use natsbridge_conformance::known::Known;
use natsbridge_conformance::live::{self, Places, Port};
use natsbridge_conformance::report::{self, About, Report};
use natsbridge_conformance::run::{Judged, Options, Run, run};
use natsbridge_conformance::testee::{Inside, Pipe, Session, Testee};
use natsbridge_conformance::vectors::{AREAS, Vectors, default_folder};
use natsbridge_conformance::{Failure, Result, engine, lint, repository};

const USAGE: &str = "\
natsbridge-conformance: proves that a port speaks the bridge

  run     --testee CMD     a program that speaks the testee protocol, run by /bin/sh;
                           `engine`: this engine, in this process; `engine-pipe`: the same behind a pipe
          --area AREA      only this area (again for more)
          --only ID        only this case (again for more)
          --known FILE     known failures; default conformance/known/NAME.txt, NAME as the testee says
          --fix            makes that file true; a person then writes the reasons
          --report DIR     writes NAME.jsonl, NAME.junit.xml and index.html (of all reports in DIR)
          --vectors DIR    other vectors; default ./conformance/vectors, else those beside the runner's sources
          --timeout SECS   for one answer; default 10. Peer cases have three times as long, `start` has 60 s
  live    --port CMD       a testee of the live matrix (again for more): each sends to each, over a real nats-server
          --file-server URL   a Plik to use in place of the embedded file server
          --not-run NAME=WHY  a port that cannot run here, and is to be shown as such
          --only ID, --report DIR, --vectors DIR   as above
  not-run NAME WHY DIR     notes in DIR that a port was not run
  report  DIR [WHAT...]    merges the reports in DIR into index.html and counts; WHAT failed besides
  lint    [DIR]            checks the vectors
  add     FILE             numbers, sorts and formats the cases of a vector file (a new case has the id \"\")
  engine                   the engine as a testee, on standard input and output

Exit status: 0 if no must and no should failed, 1 if one did, 2 if nothing could be run.
";

/// A line for whoever still reads: `| head` closes the pipe early, and that is no reason to panic.
macro_rules! say {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arguments)*);
    }};
}

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let command = if args.is_empty() { String::new() } else { args.remove(0) };
    let help = |arg: &String| arg == "--help" || arg == "-h";
    if args.iter().any(help) && command != "add" {
        say!("{}", USAGE.trim_end());
        return ExitCode::SUCCESS;
    }
    let done = match command.as_str() {
        "run" => run_command(args),
        "live" => live_command(args),
        "not-run" => not_run_command(&args),
        "report" => report_command(&args),
        "lint" => lint_command(&args),
        "add" => add_command(&args),
        "engine" => engine_command(),
        "--help" | "-h" | "help" => {
            say!("{}", USAGE.trim_end());
            Ok(true)
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("natsbridge-conformance: {error}");
            ExitCode::from(2)
        }
    }
}

/// The options of `run`.
#[derive(Default)]
struct Arguments {
    testee: String,
    known: Option<PathBuf>,
    fix: bool,
    report: Option<PathBuf>,
    vectors: Option<PathBuf>,
    options: Options,
    filter: Vec<String>,
    /// The options that a run of one case needs as well, as they were given.
    again: String,
}

impl Arguments {
    fn parse(args: Vec<String>) -> Result<Self> {
        let mut parsed = Self::default();
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| Failure::new(format!("{name} needs a value")));
            match name.as_str() {
                "--testee" => parsed.testee = value()?,
                "--area" => {
                    let area = value()?;
                    if !AREAS.contains(&area.as_str()) {
                        return Err(Failure::new(format!("no area {area}: there are {}", AREAS.join(", "))));
                    }
                    parsed.filter.push(format!("--area {area}"));
                    parsed.options.areas.push(area);
                }
                "--only" => {
                    let id = value()?;
                    parsed.filter.push(format!("--only {id}"));
                    parsed.options.only.push(id);
                }
                "--known" => {
                    let file = value()?;
                    parsed.again.push_str(&format!(" --known {}", report::quoted(&file)));
                    parsed.known = Some(file.into());
                }
                "--fix" => parsed.fix = true,
                "--report" => parsed.report = Some(value()?.into()),
                "--vectors" => {
                    let folder = value()?;
                    parsed.again.push_str(&format!(" --vectors {}", report::quoted(&folder)));
                    parsed.vectors = Some(folder.into());
                }
                "--timeout" => {
                    let text = value()?;
                    parsed.again.push_str(&format!(" --timeout {}", report::quoted(&text)));
                    let seconds =
                        text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    parsed.options.within =
                        seconds.ok_or_else(|| Failure::new("--timeout needs a number of seconds"))?;
                }
                other => return Err(Failure::new(format!("no such option: {other}\n\n{USAGE}"))),
            }
        }
        if parsed.testee.is_empty() {
            return Err(Failure::new("run needs --testee"));
        }
        Ok(parsed)
    }
}

fn testee(command: &str) -> Result<Box<dyn Testee>> {
    Ok(match command {
        "engine" => Box::new(Inside::new()),
        "engine-pipe" => {
            let own = std::env::current_exe().map_err(|error| Failure::new(error.to_string()))?;
            Box::new(Pipe::new(format!("'{}' engine", own.display())))
        }
        command => Box::new(Pipe::new(command)),
    })
}

fn run_command(args: Vec<String>) -> Result<bool> {
    let arguments = Arguments::parse(args)?;
    let folder = arguments.vectors.clone().unwrap_or_else(default_folder);
    let vectors = Vectors::load(&folder)?;
    for id in &arguments.options.only {
        exists(&vectors, id)?;
    }
    let mut session = Session::new(testee(&arguments.testee)?);
    // The list is named after the testee, which says its name when it starts.
    let known_path = match &arguments.known {
        Some(path) => path.clone(),
        None => {
            let started = session.start(arguments.options.start_within);
            let started =
                started.map_err(|trouble| not_run(&mut session, trouble.outcome(), &trouble.to_string()))?;
            repository().join(format!("conformance/known/{}.txt", started.name.trim_end_matches("-pipe")))
        }
    };
    let known = Known::load(&known_path)?;
    let terminal = std::io::stderr().is_terminal();
    let mut done = 0;
    let mut progress = |judged: &Judged| {
        done += 1;
        if terminal {
            eprint!("\r{done:>5} {:<24}", judged.case.id);
        }
    };
    let ran = run(&mut session, &vectors, &known, &arguments.options, &mut progress);
    if terminal {
        eprint!("\r{:<32}\r", "");
    }
    let ran = ran.map_err(|error| not_run(&mut session, error.outcome, &error.what))?;
    if arguments.fix {
        fix(&ran, known.clone(), &known_path)?;
    }
    let about = About::new(&arguments.testee, &vectors.digest, arguments.filter.join(" "));
    let program = std::env::args().next().unwrap_or_default();
    let report = Report::of(&ran, &about.called(program, &arguments.again));
    say!("smoke: ok");
    say!("{}", report::text(&report).trim_end());
    if let Some(folder) = &arguments.report {
        let page = report::save(&report, folder)?;
        say!("\nreport: {}", page.display());
    }
    let failed = report.lines.iter().filter(|line| report::fails(line)).count() + ran.failures.len();
    let passed = ran.count(Outcome::Pass);
    let (known, unsupported) = (ran.count(Outcome::Known), ran.count(Outcome::Unsupported));
    let mut text = format!("{passed} passed, {failed} failed");
    for (count, name) in [(known, "known failures"), (unsupported, "not supported")] {
        if count > 0 {
            text.push_str(&format!(", {count} {name}"));
        }
    }
    say!("\nvectors: {text}, {:.1} s", ran.took.as_secs_f64());
    Ok(report.is_ok())
}

/// A mistyped id is an error of its own, and not a run without cases.
fn exists(vectors: &Vectors, id: &str) -> Result<()> {
    if vectors.cases().any(|case| case.id == id) {
        return Ok(());
    }
    let prefix = id.rsplit_once('-').map_or(id, |(prefix, _)| prefix);
    let near: Vec<_> = vectors.cases().filter(|case| case.id.starts_with(&format!("{prefix}-"))).collect();
    let (count, folder) = (vectors.cases().count(), vectors.folder.display());
    Err(Failure::new(match (near.first(), near.last()) {
        (Some(first), Some(last)) => {
            format!("no case {id}: {} has {} to {}", first.area, first.id, last.id)
        }
        _ => format!("no case {id}, and none that begins with {prefix}: {count} cases in {folder}"),
    }))
}

fn not_run(session: &mut Session, outcome: &str, what: &str) -> Failure {
    let errors = session.errors();
    let said = if errors.is_empty() || what.contains(&errors) {
        String::new()
    } else {
        format!("\nits standard error: {errors}")
    };
    Failure::new(format!("the harness is wrong, so nothing was run ({outcome}): {what}{said}"))
}

fn fix(ran: &Run, mut known: Known, path: &Path) -> Result<()> {
    let passes = |outcome: Outcome, brief: &str| {
        outcome == Outcome::Pass || outcome == Outcome::Stale && brief == "passes"
    };
    let verdicts = || ran.cases.iter().map(|judged| (judged.case.id.as_str(), &judged.verdict));
    let passed = verdicts().filter(|(_, verdict)| passes(verdict.outcome, &verdict.brief)).map(|(id, _)| id);
    let failed = ran
        .cases
        .iter()
        .filter(|judged| judged.fails() && !passes(judged.verdict.outcome, &judged.verdict.brief));
    known.fix(passed, failed.map(|judged| (judged.case.id.as_str(), judged.verdict.brief.as_str())));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    }
    known.save(path)?;
    say!("written: {} (every line needs a reason)", path.display());
    Ok(())
}

fn report_command(args: &[String]) -> Result<bool> {
    let [folder, failures @ ..] = args else { return Err(Failure::new("report needs a folder")) };
    let folder = Path::new(folder);
    let reports = report::load_all(folder)
        .or_else(|error| if failures.is_empty() { Err(error) } else { Ok(Vec::new()) })?;
    let page = folder.join("index.html");
    std::fs::write(&page, report::html(&reports)).map_err(|error| Failure::new(error.to_string()))?;
    let mut totals = [0; 3];
    for report in &reports {
        let [passed, failed, skipped] = totals_of(report);
        let word = match report.header["not_run"].as_str() {
            Some(why) => format!("NOT RUN: {why}"),
            None if report.is_ok() => "ok".to_owned(),
            None => "FAILED".to_owned(),
        };
        say!("{:<16} {passed:>6} passed {failed:>5} failed {skipped:>5} skipped   {word}", report.name());
        for (total, count) in totals.iter_mut().zip([passed, failed, skipped]) {
            *total += count;
        }
    }
    for failure in failures {
        say!("FAIL: {failure}");
    }
    totals[1] += failures.len();
    say!("report: {}", page.display());
    say!("conformance: {} passed, {} failed, {} skipped", totals[0], totals[1], totals[2]);
    Ok(totals[1] == 0 && totals[0] > 0 && reports.iter().all(Report::is_ok))
}

/// Passed, failed, and the rest: not supported, known, or not run.
fn totals_of(report: &Report) -> [usize; 3] {
    let passed = report.count(None, Outcome::Pass);
    let failed = report.lines.iter().filter(|line| report::fails(line)).count();
    let skipped = report.lines.len() - passed - failed + usize::from(report.header.get("not_run").is_some());
    [passed, failed + report.failures().len(), skipped]
}

fn not_run_command(args: &[String]) -> Result<bool> {
    let [name, why, folder] = args else {
        return Err(Failure::new("not-run needs a name, a reason and a folder"));
    };
    let vectors = Vectors::load(&default_folder())?;
    let mut header = About::new("", &vectors.digest, "").header(name, "", "", "full");
    header["not_run"] = why.as_str().into();
    report::save(&Report::from_lines(header, Vec::new(), Vec::new(), 0.0), Path::new(folder))?;
    say!("{name}: NOT RUN: {why}");
    Ok(true)
}

fn live_command(args: Vec<String>) -> Result<bool> {
    let mut commands = Vec::new();
    let mut missing = Vec::new();
    let (mut only, mut report_folder, mut files, mut vectors) = (Vec::new(), None, None, default_folder());
    let mut args = args.into_iter();
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| Failure::new(format!("{name} needs a value")))?;
        match name.as_str() {
            "--port" => commands.push(value),
            "--only" => only.push(value),
            "--report" => report_folder = Some(PathBuf::from(value)),
            "--file-server" => files = Some(value),
            "--vectors" => vectors = value.into(),
            "--not-run" => {
                let pair = value.split_once('=').ok_or_else(|| Failure::new("--not-run needs NAME=WHY"))?;
                missing.push((pair.0.to_owned(), pair.1.to_owned()));
            }
            other => return Err(Failure::new(format!("no such option: {other}\n\n{USAGE}"))),
        }
    }
    let begun = std::time::Instant::now();
    let vectors = Vectors::load(&vectors)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(error.to_string()))?;
    // Kept until the end: dropping it stops it.
    let own = match &files {
        Some(_) => None,
        None => {
            let server = runtime.block_on(natsbridge::fileserver::FileServer::builder().start());
            Some(server.map_err(|error| Failure::new(format!("no file server: {error}")))?)
        }
    };
    let files = files.or_else(|| own.as_ref().map(|server| server.url().to_owned())).unwrap_or_default();
    let places = Places::new(files.trim_end_matches('/'))?;
    let mut ports = Vec::new();
    for command in &commands {
        ports.push(Port::start(testee(command)?, testee(command)?)?);
    }
    let mut progress = |line: &serde_json::Value| {
        if std::io::stderr().is_terminal() {
            eprint!("\r{:<78.78}", line["id"].as_str().unwrap_or_default());
        }
    };
    let lines = live::run(&mut ports, &missing, &places, &only, &mut progress);
    if std::io::stderr().is_terminal() {
        eprint!("\r{:<78}\r", "");
    }
    let mut failures = Vec::new();
    if !lines.iter().any(|line| line["outcome"] != "unsupported") {
        failures.push("no exchange was run".to_owned());
    }
    failures.extend(ports.into_iter().flat_map(Port::stop));
    let about = About::new(commands.join(" + "), &vectors.digest, only.join(" "));
    let header = about.header("live", "every port", env!("CARGO_PKG_VERSION"), "full");
    let report = Report::from_lines(header, lines, failures, begun.elapsed().as_secs_f64());
    say!("{}", report::text(&report).trim_end());
    if let Some(folder) = &report_folder {
        let page = report::save(&report, folder)?;
        say!("\nreport: {}", page.display());
    }
    let [passed, failed, skipped] = totals_of(&report);
    let seconds = begun.elapsed().as_secs_f64();
    say!("\nlive: {passed} passed, {failed} failed, {skipped} skipped, {seconds:.1} s");
    Ok(report.is_ok())
}

fn lint_command(args: &[String]) -> Result<bool> {
    let folder = args.first().map_or_else(default_folder, PathBuf::from);
    let vectors = Vectors::load(&folder)?;
    let wrong = lint::lint(&vectors);
    wrong.iter().for_each(|what| say!("{what}"));
    for area in AREAS {
        let count = vectors.cases().filter(|case| case.area == area).count();
        if count > 0 {
            say!("{area:<10} {count:>5} cases");
        }
    }
    say!(
        "{} cases; clauses that none of them cites: {}",
        vectors.cases().count(),
        lint::uncited(&vectors).join(" ")
    );
    say!("lint: {} faults", wrong.len());
    Ok(wrong.is_empty())
}

fn add_command(args: &[String]) -> Result<bool> {
    let [file] = args else { return Err(Failure::new("add needs a file")) };
    natsbridge_conformance::add::tidy(Path::new(file))?;
    Ok(true)
}

fn engine_command() -> Result<bool> {
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    engine::serve(input, output).map_err(|error| Failure::new(error.to_string()))?;
    Ok(true)
}
