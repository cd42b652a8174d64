//! Reads inputs that listen.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use millpond_kinesis::aws::Secret;

use crate::config::checked::{HttpInput, Input, InputKind, Output, TlsFiles};
use crate::config::listen;
use crate::config::section::Section;
use crate::config::units::{Fault, Period, Size};

/// An input of type `http`; nothing if it has no address, which is reported.
pub(super) fn http(section: &Section<'_>) -> Option<HttpInput> {
    let listen = address(section);
    let bytes = |key| usize::try_from(section.size(key)).unwrap_or(usize::MAX);
    let http = HttpInput {
        listen: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
        path: section.text("path"),
        token: section.text("token").map(Secret::new),
        tls: tls(section),
        body_bytes_max: bytes("max_body"),
        buffered_bytes_max: bytes("max_buffered"),
        connections_max: usize::try_from(section.integer("max_connections")).unwrap_or(usize::MAX),
        busy_timeout: section.period("busy_timeout"),
        ack_timeout: section.period("ack_timeout"),
        idle_timeout: section.period("idle_timeout"),
    };
    if http.buffered_bytes_max < http.body_bytes_max {
        let fault = Fault::new(
            format!("is less than `max_body`, {}", Size(http.body_bytes_max as u64)),
            "it is taken for that much, since a body has to fit in it: raise it, or lower `max_body`",
        );
        section.warning("max_buffered", fault);
    }
    if let Some(listen) = listen {
        warn_of_open_door(section, listen, &http);
    }
    listen.map(|_| http)
}

/// The setting `listen`.
pub(super) fn address(section: &Section<'_>) -> Option<SocketAddr> {
    section.text("listen").and_then(|text| listen::address(&text).ok())
}

/// The section `tls` of what listens, if it has one.
pub(super) fn tls(section: &Section<'_>) -> Option<TlsFiles> {
    if !section.is_given("tls") {
        return None;
    }
    // What is no section is reported when it is opened; then nothing is missing in it.
    let tls = section.section("tls");
    if !section.is_section("tls") {
        return None;
    }
    let (cert_file, key_file) = (tls.path("cert_file"), tls.path("key_file"));
    let client_ca_file = tls.path("client_ca_file");
    Some(TlsFiles { cert_file: cert_file?, key_file: key_file?, client_ca_file })
}

/// Says who else could send events, or read the token.
fn warn_of_open_door(section: &Section<'_>, listen: SocketAddr, http: &HttpInput) {
    if listen.ip().is_loopback() {
        return;
    }
    let checks_certificates = http.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
    let fault = match (&http.token, section.is_given("tls")) {
        (None, _) if !section.is_given("token") && !checks_certificates => Fault::new(
            "can be reached from other machines, and whoever reaches it can send events",
            "add a `token`, or `tls` with a `client_ca_file`, or listen on 127.0.0.1",
        ),
        (Some(_), false) => Fault::new(
            "can be reached from other machines, and the `token` is not encrypted on the way",
            "add `tls`, or listen on 127.0.0.1",
        ),
        _ => return,
    };
    section.warning("listen", fault);
}

/// Two inputs cannot listen on one address.
pub(super) fn refuse_addresses_taken_twice(top: &Section<'_>, inputs: &[Input]) {
    refuse_taken_twice(top, inputs, InputKind::tcp_address);
    refuse_taken_twice(top, inputs, InputKind::udp_address);
}

fn refuse_taken_twice(top: &Section<'_>, inputs: &[Input], address: fn(&InputKind) -> Option<SocketAddr>) {
    let mut taken: BTreeMap<SocketAddr, &str> = BTreeMap::new();
    // The system chooses a port instead of 0.
    let fixed = |address: &SocketAddr| address.port() != 0;
    for (input, address) in
        inputs.iter().filter_map(|input| Some((input, address(&input.kind).filter(fixed)?)))
    {
        if let Some(other) = taken.insert(address, &input.id) {
            let fault = Fault::new(
                format!("listens on {address} in `{other}` and in `{}`", input.id),
                "give each of them a port of its own",
            );
            top.problem("inputs", fault);
        }
    }
}

/// A batch may be open for a `flush_period`: nobody may have to wait longer for an answer than he does.
pub(super) fn warn_of_answers_too_late(top: &Section<'_>, inputs: &[Input], outputs: &[Output]) {
    let slowest = outputs.iter().filter(|output| output.active).max_by_key(|output| output.flush_period);
    let Some(output) = slowest else { return };
    for input in inputs {
        let InputKind::Http(http) = &input.kind else { continue };
        if http.ack_timeout <= output.flush_period {
            let fault = Fault::new(
                format!(
                    "answers requests of `{}` with 503 after {} (`ack_timeout`), and `{}` may take {} (`flush_period`) to send their events",
                    input.id,
                    Period(http.ack_timeout),
                    output.id,
                    Period(output.flush_period),
                ),
                "raise `ack_timeout`, or lower `flush_period`",
            );
            top.warning("inputs", fault);
        }
    }
}
