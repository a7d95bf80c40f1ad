//! curl, with the file piped through sha256sum, both ways.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::{compare, hyper, now};
use crate::measure::icount::which;
use crate::nats::BoxError;

/// `tee` copies the file to sha256sum while curl sends it.
const SCRIPT: &str = r#"set -o pipefail
tee >(sha256sum >/dev/null) < "$1" |
    curl -sSf -H "X-UploadToken: $2" -F 'file=@-;filename=file.bin' "$3""#;

const FETCH: &str = r#"set -o pipefail
curl -sSf "$1" | tee "$2" | sha256sum
sync "$2""#;

/// Fetches what was uploaded before.
pub(super) async fn download(files: &str, file: &Path, copy: &Path) -> Result<Duration, BoxError> {
    check_installed()?;
    let (_, url) = hyper::upload(files, file).await?;
    let begun = now();
    let ran = Command::new("bash")
        .args(["-c", FETCH, "download", &url])
        .arg(copy)
        .stdin(Stdio::null())
        .output()
        .await?;
    let spent = begun.elapsed();
    if ran.status.success() {
        Ok(spent)
    } else {
        Err(format!("curl: {}", String::from_utf8_lossy(&ran.stderr).trim()).into())
    }
}

fn check_installed() -> Result<(), BoxError> {
    for program in ["curl", "sha256sum", "bash"] {
        if which(program).is_none() {
            return Err(format!("{program} is not installed").into());
        }
    }
    Ok(())
}

pub(super) async fn upload(files: &str, file: &Path) -> Result<Duration, BoxError> {
    check_installed()?;
    let host = hyper::host_of(files)?;
    let begun = now();
    let mut connection = hyper::connect(host).await?;
    let (upload, token) = hyper::create(&mut connection, host).await?;
    let ran = Command::new("bash")
        .args(["-c", SCRIPT, "upload"])
        .arg(file)
        .args([&token, &format!("http://{host}/file/{upload}")])
        .stdin(Stdio::null())
        .output()
        .await?;
    let spent = begun.elapsed();
    if !ran.status.success() {
        return Err(format!("curl: {}", String::from_utf8_lossy(&ran.stderr).trim()).into());
    }
    let reply: Value = serde_json::from_slice(&ran.stdout)?;
    let id = reply["id"].as_str().ok_or("no file id")?;
    compare(&format!("http://{host}/file/{upload}/{id}/file.bin"), file).await?;
    Ok(spent)
}
