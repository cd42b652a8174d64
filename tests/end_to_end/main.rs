//! The program itself, from a log file to the embedded endpoint, through what can go wrong on the way.

mod world;

mod faults;
mod modes;
mod operation;
mod outages;
