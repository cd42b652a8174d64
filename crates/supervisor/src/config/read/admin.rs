//! Reads the admin address.

use millpond_kinesis::aws::Secret;

use super::listen;
use crate::config::checked::{Admin, Input};
use crate::config::section::Section;
use crate::config::units::Fault;

/// The admin address; nothing if there shall be none, or if it is bad, which is reported.
pub(super) fn admin(top: &Section<'_>, inputs: &[Input]) -> Option<Admin> {
    if !top.is_given("admin") {
        return None;
    }
    let section = top.section("admin");
    let (token, tls) = (section.text("token").map(Secret::new), listen::tls(&section));
    let admin = Admin { listen: listen::address(&section)?, token, tls };
    refuse_open_door(&section, &admin);
    let taken = |input: &&Input| admin.listen.port() != 0 && input.kind.tcp_address() == Some(admin.listen);
    if let Some(input) = inputs.iter().find(taken) {
        let message = format!("is the address of the input `{}` too", input.id);
        section.problem("listen", Fault::new(message, "give each of them a port of its own"));
    }
    Some(admin)
}

/// Whoever reaches it can pause outputs, and sees what runs here.
fn refuse_open_door(section: &Section<'_>, admin: &Admin) {
    if admin.listen.ip().is_loopback() {
        return;
    }
    // One that is given and bad is reported already.
    if admin.token.is_none() && !section.is_given("token") {
        let fault = Fault::new(
            "can be reached from other machines, and there is no `admin.token`: whoever reaches it could pause outputs",
            "add a `token` to `admin`, or listen on 127.0.0.1",
        );
        section.problem("listen", fault);
    } else if !section.is_given("tls") {
        let fault = Fault::new(
            "can be reached from other machines, and the `token` is not encrypted on the way",
            "add `tls`, or listen on 127.0.0.1",
        );
        section.warning("listen", fault);
    }
}
