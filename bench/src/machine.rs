//! The machine and the tools, as far as they decide what is counted.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Map, Value};

use crate::engine;
use crate::measure::icount;

/// The features of this build.
pub(crate) const FEATURES: &[&str] = &[
    #[cfg(feature = "links")]
    "links",
    #[cfg(feature = "mimalloc")]
    "mimalloc",
    #[cfg(feature = "nats")]
    "nats",
    #[cfg(feature = "rivals")]
    "rivals",
    #[cfg(feature = "table")]
    "table",
];

/// Names and values, in two groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Machine {
    /// What instruction counts depend on. Records are compared only where all of it is equal.
    pub counts: BTreeMap<String, String>,
    /// What times depend on besides; for the reader.
    pub place: BTreeMap<String, String>,
}

impl Machine {
    /// This machine.
    pub fn here(allocator: &str) -> Self {
        let mut here = Self::default();
        let mut counts = |name: &str, value: String| here.counts.insert(name.into(), value);
        counts("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS));
        counts("rustc", output("rustc", &["--version"]));
        counts("libc", output("getconf", &["GNU_LIBC_VERSION"]));
        counts("valgrind", output("valgrind", &["--version"]));
        counts(
            "cpu under valgrind",
            icount::under_valgrind(&["--tool=none"], &["cpu"]).unwrap_or_else(|why| why),
        );
        counts("profile", profile());
        counts("allocator", allocator.into());
        counts("features", FEATURES.join(" "));
        counts("rustflags", std::env::var("RUSTFLAGS").unwrap_or_default());

        let mut place = |name: &str, value: String| here.place.insert(name.into(), value);
        place("cpu", cpu_model());
        place("cpu features", cpu_features());
        place(
            "cpus",
            std::thread::available_parallelism().map_or_else(|_| "?".into(), |count| count.to_string()),
        );
        place("kernel", output("uname", &["-sr"]));
        place("base64 tier", engine::tier().into());
        here
    }

    /// What differs of that which counts depend on; empty if counts can be compared.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<_> = self.counts.keys().chain(other.counts.keys()).collect();
        let value = |machine: &Self, name: &str| {
            machine.counts.get(name).cloned().unwrap_or_else(|| "unknown".into())
        };
        names
            .into_iter()
            .filter(|name| self.counts.get(*name) != other.counts.get(*name))
            .map(|name| format!("{name}: {:?} there, {:?} here", value(self, name), value(other, name)))
            .collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        let group = |group: &BTreeMap<String, String>| {
            Value::Object(
                group
                    .iter()
                    .map(|(name, value)| (name.clone(), value.as_str().into()))
                    .collect::<Map<_, _>>(),
            )
        };
        serde_json::json!({"counts": group(&self.counts), "place": group(&self.place)})
    }

    pub(crate) fn from_json(value: &Value) -> Self {
        let group = |value: &Value| {
            let entries = value.as_object().into_iter().flatten();
            entries.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().into())).collect()
        };
        Self { counts: group(&value["counts"]), place: group(&value["place"]) }
    }
}

/// The CPU features that choose code in the engine, memchr, base64-simd or glibc, as this process sees them.
pub fn cpu_features() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("avx", is_x86_feature_detected!("avx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("bmi2", is_x86_feature_detected!("bmi2")),
            ("erms", is_x86_feature_detected!("ermsb")),
            ("sha", is_x86_feature_detected!("sha")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bw", is_x86_feature_detected!("avx512bw")),
            ("avx512vbmi", is_x86_feature_detected!("avx512vbmi")),
        ];
        known.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }
    #[cfg(not(target_arch = "x86_64"))]
    String::new()
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "unknown".into());
    format!(
        "{model}, family {}, model {}",
        field("cpu family").unwrap_or_default(),
        field("model\t").unwrap_or_default()
    )
}

/// The build profile, by the name of its folder.
pub(crate) fn profile() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let folder = program.parent().and_then(|folder| folder.file_name());
    folder.map_or_else(|| "unknown".into(), |name| name.to_string_lossy().into_owned())
}

fn output(program: &str, args: &[&str]) -> String {
    match Command::new(program).args(args).output() {
        Ok(ran) if ran.status.success() => String::from_utf8_lossy(&ran.stdout).trim().to_owned(),
        _ => "none".into(),
    }
}
