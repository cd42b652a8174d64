//! What inputs that listen are told: addresses, paths, tokens.

use std::net::{IpAddr, SocketAddr};

use super::checked::Zone;
use super::units::Fault;

/// An address to listen on.
pub(super) fn check_listen(text: &str) -> Result<(), Fault> {
    address(text).map(|_| ())
}

/// The address to listen on that a text means.
pub(super) fn address(text: &str) -> Result<SocketAddr, Fault> {
    let error = match text.parse::<SocketAddr>() {
        Ok(address) => return Ok(address),
        Err(_) => "is no address and port",
    };
    let (host, port) = match text.rsplit_once(':') {
        // An address alone.
        _ if text.parse::<IpAddr>().is_ok() => (text, "8088"),
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port),
        _ if text.parse::<u16>().is_ok() => ("", text),
        _ => {
            let remedy =
                "write it as \"127.0.0.1:8088\", \"0.0.0.0:8088\" for all addresses, or \"[::1]:8088\"";
            return Err(Fault::new(error, remedy));
        }
    };
    let remedy = match host {
        "" | "*" => {
            format!("write \"127.0.0.1:{port}\" for this machine alone, \"0.0.0.0:{port}\" for all addresses")
        }
        "localhost" => format!("write \"127.0.0.1:{port}\""),
        _ if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() => {
            let ip = host.trim_matches(['[', ']']);
            if ip.contains(':') {
                format!("write \"[{ip}]:{port}\"")
            } else {
                format!("write \"{ip}:{port}\"")
            }
        }
        _ => format!("write the IP address instead of the name: \"192.0.2.7:{port}\""),
    };
    Err(Fault::new(error, remedy))
}

/// A time zone.
pub(super) fn check_zone(text: &str) -> Result<(), Fault> {
    zone(text).map(|_| ())
}

/// The time zone that a text means.
pub(super) fn zone(text: &str) -> Result<Zone, Fault> {
    let fixed = |minutes_east| Ok(Zone::Fixed { minutes_east });
    match text {
        "local" => return Ok(Zone::Local),
        "UTC" | "utc" | "Z" => return fixed(0),
        _ => {}
    }
    let part = |digits: &str, most| {
        digits.len() == 2
            && digits.parse::<u16>().is_ok_and(|number| !digits.starts_with('+') && number <= most)
    };
    let distance = text.strip_prefix(['+', '-']).and_then(|distance| distance.split_once(':'));
    match distance {
        Some((hours, minutes)) if part(hours, 23) && part(minutes, 59) => {
            let number = |digits: &str| digits.parse::<i16>().unwrap_or_default();
            let minutes = number(hours) * 60 + number(minutes);
            fixed(if text.starts_with('-') { -minutes } else { minutes })
        }
        _ => Err(Fault::new(
            "is no time zone known here",
            "write `local`, `UTC`, or a distance such as \"+02:00\"; for the rules of another place, set the variable TZ and \
             write `local`",
        )),
    }
}

/// Permissions.
pub(super) fn check_mode(text: &str) -> Result<(), Fault> {
    mode(text).map(|_| ())
}

/// The permissions that octal digits mean.
pub(super) fn mode(text: &str) -> Result<u32, Fault> {
    let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if is_octal && mode <= 0o777 => Ok(mode),
        _ => Err(Fault::new(
            "is no permission of a file",
            "write three octal digits after a 0, such as \"0660\"",
        )),
    }
}

/// The path of a URL.
pub(super) fn check_url_path(path: &str) -> Result<(), Fault> {
    let good = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
    if path.starts_with('/') && path.bytes().all(good) {
        return Ok(());
    }
    Err(Fault::new(
        "is no path of a URL",
        "write one that begins with `/` and has neither blanks nor a query, such as `/events`",
    ))
}

/// A token: what fits in a header as it is. What is wrong is said without it.
pub(super) fn check_token(token: &str) -> Result<(), Fault> {
    if token.is_empty() {
        return Err(Fault::new("is empty", "give it a value, or remove the key"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new("is no token", "use letters, digits and signs of ASCII, without blanks"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: Result<(), Fault>, expected: &str) {
        assert_eq!(result.map_or_else(|fault| fault.to_string(), |()| "good".to_owned()), expected);
    }

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:8088", "0.0.0.0:0", "[::]:80", "[fe80::1%2]:514"] {
            check(check_listen(good), "good");
        }
        let remedy_of =
            |text, remedy: &str| check(check_listen(text), &format!("is no address and port; {remedy}"));
        let of_any = "write \"127.0.0.1:80\" for this machine alone, \"0.0.0.0:80\" for all addresses";
        remedy_of(":80", of_any);
        remedy_of("*:80", of_any);
        remedy_of("80", of_any);
        remedy_of("localhost:80", "write \"127.0.0.1:80\"");
        remedy_of("10.0.0.1", "write \"10.0.0.1:8088\"");
        remedy_of("::1", "write \"[::1]:8088\"");
        remedy_of("fe80::aaaa", "write \"[fe80::aaaa]:8088\"");
        remedy_of("edge.example:80", "write the IP address instead of the name: \"192.0.2.7:80\"");
        let form = "write it as \"127.0.0.1:8088\", \"0.0.0.0:8088\" for all addresses, or \"[::1]:8088\"";
        remedy_of("http://x/", form);
        remedy_of("127.0.0.1:99999", form);
        remedy_of("", form);
    }

    #[test]
    fn zones_and_modes() {
        for (text, expected) in [("UTC", 0), ("+02:00", 120), ("-03:30", -210), ("+23:59", 1439)] {
            assert_eq!(zone(text).unwrap(), Zone::Fixed { minutes_east: expected }, "{text}");
        }
        assert_eq!(zone("local").unwrap(), Zone::Local);
        for bad in ["", "+2:00", "02:00", "+24:00", "+02:60", "Europe/Berlin", "+-2:00", "++2:00"] {
            assert!(zone(bad).is_err(), "{bad}");
        }
        assert_eq!(mode("0660").unwrap(), 0o660);
        assert_eq!(mode("777").unwrap(), 0o777);
        for bad in ["", "66", "0680", "4755", "rw-rw----", "+66"] {
            check(
                check_mode(bad),
                "is no permission of a file; write three octal digits after a 0, such as \"0660\"",
            );
        }
    }

    #[test]
    fn paths_and_tokens() {
        check(check_url_path("/"), "good");
        check(check_url_path("/services/collector/event"), "good");
        for bad in ["", "events", "/a b", "/a?b=c", "/ä"] {
            assert!(check_url_path(bad).is_err(), "{bad}");
        }
        check(check_token("s3cret+/=~"), "good");
        check(check_token(""), "is empty; give it a value, or remove the key");
        for bad in ["a b", "a\n", "ä"] {
            check(check_token(bad), "is no token; use letters, digits and signs of ASCII, without blanks");
        }
    }
}
