//! The ways of measuring. Their rows never stand in one table: each has its own unit and its own noise.

pub mod alloc;
pub mod icount;
pub mod plant;
pub mod wall;
