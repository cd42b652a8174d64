//! The settings of the admin address.

use super::inputs::TLS_SETTING;
use super::*;

pub(in crate::config) static ADMIN: Group = Group {
    name: "admin",
    of_type: None,
    place: "admin",
    settings: &[
        setting(
            "listen",
            Kind::Text(listen::check_listen, None),
            Default::Is("\"127.0.0.1:9650\""),
            "Address and port to listen on; an IPv6 address stands in brackets. Any but a loopback address needs a `token`.",
        ),
        kept_secret(
            setting(
                "token",
                Kind::Text(listen::check_token, None),
                Default::Nothing,
                "What clients have to show as `Authorization: Bearer …`, except for `/healthz` and `/readyz`; never shown. Better as `${secret:NAME}` than in the file.",
            )
            .like("\"${secret:NAME}\""),
        ),
        TLS_SETTING,
    ],
};
