//! Which implementation runs: chosen once for the process, or forced by tests and benchmarks.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// The environment variable that forces a tier on the whole process.
pub(super) const VARIABLE: &str = "NATSBRIDGE_BASE64_TIER";

/// One implementation of base64. All of them give the same bytes, and the same errors at the same offsets; they differ
/// in speed alone.
///
/// A process uses the [best](Self::best) tier of its machine. To force another one, for tests and benchmarks:
///
/// * for single calls: [`Codec::with_tier`](super::Codec::with_tier);
/// * for a whole process: the environment variable `NATSBRIDGE_BASE64_TIER`, with a tier's name in lower case
///   (`scalar`, `portable`, `avx2`, `avx512`). It is read once, when base64 is first used. A value that is no tier's
///   name, or that of a tier which the machine lacks, is reported in one line on standard error, and the best tier
///   runs: a codec must not stop a service because of a misspelt variable. A program that must not go on then, such
///   as a benchmark, asks [`Tier::from_env`] at its start.
///
/// # Examples
/// ```
/// use natsbridge::base64::Tier;
///
/// assert!(Tier::available().any(|tier| tier == Tier::best()));
/// assert_eq!("portable".parse(), Ok(Tier::Portable));
/// assert_eq!(Tier::Avx512.to_string(), "avx512");
/// assert!("sse9".parse::<Tier>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// One character at a time: what the others are compared with. On every machine.
    Scalar,
    /// The `base64-simd` crate, which brings its own choice of instructions. On every machine.
    Portable,
    /// 256-bit kernels of this crate. On x86-64 with AVX2.
    Avx2,
    /// 512-bit kernels of this crate. On x86-64 with AVX-512 F, BW and VBMI, and BMI2.
    Avx512,
}

/// Every tier, the fastest last.
const ALL: [Tier; 4] = [Tier::Scalar, Tier::Portable, Tier::Avx2, Tier::Avx512];

impl Tier {
    /// The fastest tier that this machine has.
    pub fn best() -> Self {
        Available::best().tier()
    }

    /// The tier of calls that name none: the one that `NATSBRIDGE_BASE64_TIER` names, or else the best.
    ///
    /// # Cost
    /// One load and one comparison, but for the first call.
    pub fn current() -> Self {
        Available::current().tier()
    }

    /// The tiers that this machine has, the fastest last.
    pub fn available() -> impl Iterator<Item = Self> {
        ALL.into_iter().filter(|tier| tier.is_available())
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar | Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::arch::avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::arch::avx512::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The tier that `NATSBRIDGE_BASE64_TIER` names; `None` where it is not set, or empty. The environment is read at
    /// each call.
    ///
    /// # Errors
    /// [`TierError`] for a value that is no tier's name, and for a tier that this machine lacks.
    pub fn from_env() -> Result<Option<Self>, TierError> {
        let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let tier: Self = value.to_str().unwrap_or("not text").parse()?;
        Available::new(tier).map(|available| Some(available.tier()))
    }

    /// As [`Display`](fmt::Display) and [`FromStr`] have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tier {
    type Err = TierError;

    fn from_str(name: &str) -> Result<Self, TierError> {
        ALL.into_iter().find(|tier| tier.name() == name).ok_or(TierError::Unknown)
    }
}

/// Why a tier cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TierError {
    /// No tier has this name.
    Unknown,
    /// The machine lacks the instructions of this tier.
    Unavailable(Tier),
}

impl fmt::Display for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => {
                f.write_str("no such tier of base64; there are")?;
                ALL.iter().try_for_each(|tier| write!(f, " {tier}"))
            }
            Self::Unavailable(tier) => {
                write!(f, "this machine lacks the instructions of the base64 tier {tier}")
            }
        }
    }
}

impl std::error::Error for TierError {}

/// A tier that this machine has: the proof that its instructions may be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Available {
    /// Invariant: `tier.is_available()`. Hence private, and set by `new` alone.
    tier: Tier,
}

impl Available {
    pub(super) fn new(tier: Tier) -> Result<Self, TierError> {
        if tier.is_available() { Ok(Self { tier }) } else { Err(TierError::Unavailable(tier)) }
    }

    pub(super) fn tier(self) -> Tier {
        self.tier
    }

    fn best() -> Self {
        let best = ALL.iter().rev().find_map(|&tier| Self::new(tier).ok());
        best.unwrap_or(Self { tier: Tier::Scalar }) // which every machine has
    }

    #[inline]
    pub(super) fn current() -> Self {
        static CURRENT: OnceLock<Available> = OnceLock::new();
        *CURRENT.get_or_init(Self::choose)
    }

    #[cold]
    fn choose() -> Self {
        let best = Self::best();
        match Tier::from_env().map(|tier| tier.map(Self::new)) {
            Ok(None) => best,
            Ok(Some(Ok(forced))) => forced,
            Ok(Some(Err(error))) | Err(error) => {
                use std::io::Write as _;
                // If standard error is closed there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "natsbridge: {VARIABLE}: {error}; using {}", best.tier);
                best
            }
        }
    }
}
