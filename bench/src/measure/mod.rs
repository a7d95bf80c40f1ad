//! The ways of measuring. Their rows never stand in one table: each has its own unit and its own noise.

pub mod wall;
