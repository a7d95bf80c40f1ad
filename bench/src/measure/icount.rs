//! Instructions: exact counts of what one operation executes, under valgrind's callgrind.
//!
//! Every row is a process of its own, so that no row depends on another: the program runs itself, in an empty
//! environment and under a fixed name, and collects nothing outside of [`counted_region`]. Counts repeat exactly.
//! valgrind shows a CPU with AVX2 at most, so nothing here speaks of AVX-512.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::plant::Plant;
use crate::record::{Metric, Row};
use crate::scenario::Contestant;
use crate::scenarios;

/// Operations before counting begins.
const WARM_UP: u64 = 3;
/// Operations that are counted.
const COUNTED: u64 = 20;
/// Processes at once.
const WORKERS: usize = 2;

/// What callgrind counts.
#[inline(never)]
pub fn counted_region(contestant: &mut Contestant, plant: Plant) {
    plant.run(contestant, COUNTED);
}

/// The inner side: does the row's operation inside [`counted_region`].
///
/// # Errors
/// There is no such row, or its answer is wrong.
pub fn run(row: &str, plant: Plant) -> Result<(), String> {
    let (scenario, contestant) = row.rsplit_once('/').ok_or("a row is SCENARIO/CONTESTANT")?;
    let found = scenarios::all().into_iter().find(|known| known.name == scenario);
    let scenario = found.ok_or_else(|| format!("no scenario {scenario}"))?;
    let mut contestants = scenario.checked(|name| name == contestant)?;
    let contestant = contestants.first_mut().ok_or_else(|| format!("no contestant {contestant}"))?;
    contestant.run(WARM_UP);
    counted_region(contestant, plant);
    Ok(())
}

/// The outer side: counts these rows.
///
/// # Errors
/// There is no valgrind, or a row does not run under it.
pub fn measure(rows: &[String], plant: Plant) -> Result<Vec<Row>, String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counted = Vec::new();
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            counted.push((row, count(row, plant)));
        }
        counted
    };
    let mut counted: Vec<_> = std::thread::scope(|scope| {
        #[expect(clippy::needless_collect, reason = "all are started before the first one is waited for")]
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    if counted.len() != rows.len() {
        return Err("a worker was lost".into());
    }
    counted.sort_by_key(|(row, _)| rows.iter().position(|known| known == *row));
    counted
        .into_iter()
        .map(|(row, value)| Ok(Row { name: row.clone(), metric: Metric::Instructions, value: value? }))
        .collect()
}

fn count(row: &str, plant: Plant) -> Result<f64, String> {
    let file = std::env::temp_dir().join(format!(
        "natsbridge-icount-{}-{}",
        std::process::id(),
        row.replace('/', "-")
    ));
    let out = format!("--callgrind-out-file={}", file.display());
    let collect = "--toggle-collect=*counted_region*";
    let ran = under_valgrind(&["--tool=callgrind", &out, collect], &["icount-run", row, plant.name()]);
    let profile = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    ran?;
    let profile = profile.map_err(|error| format!("{row}: callgrind wrote nothing: {error}"))?;
    let summary = profile.lines().find_map(|line| line.strip_prefix("summary: "));
    let total: u64 = summary
        .and_then(|total| total.trim().parse().ok())
        .ok_or_else(|| format!("{row}: callgrind's profile has no summary"))?;
    if total == 0 {
        return Err(format!("{row}: callgrind counted nothing"));
    }
    Ok(total as f64 / COUNTED as f64)
}

/// Runs this program under valgrind, and returns what it prints. Everything that could move the stack or the heap is
/// fixed: the environment is empty, and the program's name does not depend on where it was built.
pub(crate) fn under_valgrind(options: &[&str], args: &[&str]) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let (folder, name): (&Path, PathBuf) = match (program.parent(), program.file_name()) {
        (Some(folder), Some(name)) => (folder, Path::new(".").join(name)),
        _ => return Err("this program has no path".into()),
    };
    let valgrind = which("valgrind").ok_or("valgrind is not installed (apt-get install valgrind)")?;
    let ran = Command::new(valgrind)
        .args(["--quiet", "--error-exitcode=0"])
        .args(options)
        .arg(name)
        .args(args)
        .current_dir(folder)
        .env_clear()
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !ran.status.success() {
        return Err(format!("{}: {}", args.join(" "), String::from_utf8_lossy(&ran.stderr)));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// Where this program is on the path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
