//! The input on real files.

mod many;
mod multiline;
mod reading;
mod restart;
mod rig;
mod rotation;
