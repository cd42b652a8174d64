//! HTTP: connections that can be cut, requests, answers, and the address for control.

mod answer;
mod body;
mod local;
mod serve;
mod socket;

pub(crate) use body::room_kib;
pub(crate) use serve::{serve, serve_control};
pub(crate) use socket::{Link, Socket};
