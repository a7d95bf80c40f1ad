//! The same program with another allocator, beside this one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine;

/// The program that counts allocations.
pub const COUNTED: &str = "natsbridge-bench-counted";
/// The program with mimalloc.
pub const MIMALLOC: &str = "natsbridge-bench-mimalloc";

/// Where it is. Under `cargo run`, which builds one program only, it is built first, if need be.
///
/// # Errors
/// It is not there, or older than this program.
pub fn path(name: &str) -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let there = here.with_file_name(name);
    if let Some(cargo) = std::env::var_os("CARGO") {
        build(&cargo, name, &here)?;
    }
    let modified = |path: &Path| path.metadata().and_then(|data| data.modified());
    let slack = std::time::Duration::from_secs(600); // one build makes all of them, in any order
    match (modified(&there), modified(&here)) {
        (Ok(there_time), Ok(here_time)) if there_time + slack >= here_time => Ok(there),
        (Ok(_), Ok(_)) => {
            Err(format!("{name} is older than this program: cargo build -p natsbridge-bench --bins"))
        }
        _ => Err(format!("{name} is not built: cargo build -p natsbridge-bench --bins")),
    }
}

fn build(cargo: &std::ffi::OsStr, name: &str, here: &Path) -> Result<(), String> {
    let profile = match machine::profile().as_str() {
        "debug" => "dev".to_owned(),
        profile => profile.to_owned(),
    };
    let target = here.parent().and_then(Path::parent).ok_or("this program has no folder")?;
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "-p", "natsbridge-bench", "--bin", name])
        .args(["--profile", &profile, "--no-default-features", "--features", &machine::FEATURES.join(",")])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    match built {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("{name} cannot be built")),
    }
}

/// Runs it, and returns what it prints.
///
/// # Errors
/// As [`path`], and if it fails.
pub fn run(name: &str, args: &[&str]) -> Result<String, String> {
    let ran = Command::new(path(name)?).args(args).output().map_err(|error| format!("{name}: {error}"))?;
    if !ran.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&ran.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}
