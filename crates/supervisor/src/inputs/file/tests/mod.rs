//! The input on real files.

mod reading;
mod rig;
