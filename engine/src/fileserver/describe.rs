//! The server's objects as Plik's JSON: uploads, files, configuration, version; and how it writes dates
//! and sizes.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::options::Options;
use super::uploads::{File, Upload};

/// Which of the two shapes of an upload a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `files` is an array.
    Current,
    /// `files` is an object keyed by file id, as before Plik 1.3.
    Legacy,
}

/// An upload; its token only for its administrator.
pub(super) fn upload(upload: &Upload, admin: bool, options: &Options, format: Format) -> Value {
    let params = &upload.params;
    let mut object = json!({
        "id": upload.id,
        "ttl": ttl_secs(params.ttl.as_secs()),
        "downloadDomain": options.download_domain.as_deref().unwrap_or_default(),
        "comments": params.comments,
        "admin": admin,
        "stream": false,
        "oneShot": params.one_shot,
        "removable": params.removable,
        "protectedByPassword": params.credentials.is_some(),
    });
    if admin {
        object["uploadToken"] = upload.token.reveal().into();
    }
    match format {
        Format::Current => {
            object["extend_ttl"] = false.into();
            object["createdAt"] = rfc3339(upload.created).into();
            object["expireAt"] = upload.expires.map(rfc3339).into();
            object["files"] = upload.files.iter().map(file).collect();
        }
        Format::Legacy => {
            object["uploadDate"] = since_epoch(upload.created).0.into();
            object["protectedByYubikey"] = false.into();
            let files: Map<String, Value> =
                upload.files.iter().map(|entry| (entry.id.clone(), file(entry))).collect();
            object["files"] = files.into();
        }
    }
    object
}

/// A file; bytes of its name that are not UTF-8 come out as U+FFFD.
pub(super) fn file(file: &File) -> Value {
    json!({
        "id": file.id,
        "fileName": String::from_utf8_lossy(&file.name),
        "status": file.status.as_str(),
        "fileMd5": file.md5,
        "fileType": file.media_type,
        "fileSize": file.size,
        "reference": file.reference,
        "createdAt": rfc3339(file.created),
    })
}

/// The answer of `/config`.
pub(super) fn config(options: &Options) -> Value {
    let feature = |enabled: bool| if enabled { "enabled" } else { "disabled" };
    let authentication = match (&options.user_token, options.anonymous_uploads) {
        (None, _) => "disabled",
        (Some(_), true) => "enabled",
        (Some(_), false) => "forced",
    };
    json!({
        "maxFileSize": i64::try_from(options.max_file_size).unwrap_or(-1),
        "maxUserSize": -1,
        "maxFilePerUpload": options.max_files_per_upload,
        "defaultTTL": options.default_ttl.as_secs(),
        "maxTTL": options.max_ttl.map_or(0, |ttl| ttl.as_secs()),
        "downloadDomain": options.download_domain.as_deref().unwrap_or_default(),
        "downloadDomainAlias": Value::Null,
        "abuseContact": "",
        "feature_authentication": authentication,
        "feature_one_shot": feature(options.one_shot),
        "feature_removable": feature(options.removable),
        "feature_stream": feature(false),
        "feature_password": feature(options.password),
        "feature_comments": feature(options.comments),
        "feature_set_ttl": feature(options.set_ttl),
        "feature_extend_ttl": feature(false),
        "feature_clients": feature(false),
        "feature_github": feature(false),
        "feature_text": feature(false),
        "authentication": options.user_token.is_some(),
        "noAnonymousUploads": authentication == "forced",
        "oneShot": options.one_shot,
        "removable": options.removable,
        "stream": false,
        "protectedByPassword": options.password,
        "googleAuthentication": false,
        "ovhAuthentication": false,
        "ovhApiEndpoint": "",
    })
}

/// The answer of `/version`: the contract followed, and who follows it.
pub(super) fn version() -> Value {
    json!({
        "version": PLIK_VERSION,
        "date": 0,
        "user": "natsbridge",
        "host": concat!("natsbridge ", env!("CARGO_PKG_VERSION")),
        "gitShortRevision": "",
        "gitFullRevision": "",
        "isRelease": false,
        "isMint": false,
        "goVersion": "",
        "clients": [],
        "releases": [],
    })
}

/// A date as Go writes it: UTC, nanoseconds without trailing zeros.
fn rfc3339(time: SystemTime) -> String {
    let (secs, nanos) = since_epoch(time);
    let (day, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (year, month, day) = civil_date(day);
    let fraction = match format!("{nanos:09}").trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits}"),
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Seconds and nanoseconds since 1970; a clock set before it reads as 1970.
fn since_epoch(time: SystemTime) -> (i64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Counts in eras of 400 years that start on 1 March, so that the leap day is the last of its year.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

/// A size as Plik words it: SI units, one decimal below ten of them.
pub(super) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let exponent = bytes.ilog(1000) as usize;
    let tenths = (bytes as f64 / 1000f64.powi(exponent as i32) * 10.0 + 0.5).floor();
    let decimals = usize::from(tenths < 100.0);
    format!("{:.decimals$} {}", tenths / 10.0, UNITS[exponent])
}

/// Infinite is written as -1.
fn ttl_secs(secs: u64) -> i64 {
    if secs == 0 { -1 } else { i64::try_from(secs).unwrap_or(i64::MAX) }
}

/// The release whose behaviour is answered.
const PLIK_VERSION: &str = "1.3.8";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_written_as_go_writes_them() {
        let cases = [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_827_696, 5_000_000, "2000-02-29T12:34:56.005Z"),
            (1_709_251_199, 123_456_789, "2024-02-29T23:59:59.123456789Z"),
            (1_735_689_600, 100_000_000, "2025-01-01T00:00:00.1Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
        ];
        for (secs, nanos, expected) in cases {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::new(secs, nanos)), expected);
        }
    }

    #[test]
    fn sizes_are_worded_in_si_units() {
        let cases = [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_000_000, "1.0 MB"),
            (1_550_000, "1.6 MB"),
            (10_000_000_000, "10 GB"),
            (100_000_000_000, "100 GB"),
            (u64::MAX, "18 EB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(human_size(bytes), expected);
        }
    }
}
