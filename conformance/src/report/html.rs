//! One page that stands for itself: a matrix of areas by testees, and every failure with what was got and expected.

use super::Report;

/// The page of several runs over the same vectors.
pub fn html(_reports: &[Report]) -> String {
    String::new()
}
