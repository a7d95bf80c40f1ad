//! x

#[cfg(feature = "fileserver")]
pub mod fileserver;
