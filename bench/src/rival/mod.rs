//! What one would use instead: other crates' codecs. Each is asked for the same answers as the engine.

pub mod borrowed;
pub mod naive;
pub mod port;
#[cfg(feature = "rivals")]
pub mod simd;
#[cfg(feature = "rivals")]
pub mod sonic;
