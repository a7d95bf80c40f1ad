//! curl, with the file piped through sha256sum.

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

pub(super) async fn upload(files: &str, file: &Path) -> Result<Duration, BoxError> {
    for program in ["curl", "sha256sum", "bash"] {
        if which(program).is_none() {
            return Err(format!("{program} is not installed").into());
        }
    }
    let host = files.strip_prefix("http://").ok_or("not http")?.trim_end_matches('/');
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
