//! The input on real files.

mod many;
mod reading;
mod restart;
mod rig;
mod rotation;
