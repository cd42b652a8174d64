//! What stands at the top of the file, and its secrets.

use super::*;

pub(in crate::config) static TOP: Group = Group {
    name: "top",
    of_type: None,
    place: "",
    settings: &[
        setting(
            "data_dir",
            Kind::Path,
            Default::Is("./millpond-data"),
            "Directory of everything that millpond keeps: queues, positions of inputs, dead letters. It is created if it is not there.",
        ),
        setting(
            "shutdown_timeout",
            Kind::Period(0, HOUR),
            Default::Is("10s"),
            "How long a stop waits for puts in flight. What is not delivered by then goes to the queue, or stays unacknowledged and is read again after the next start.",
        ),
        setting("inputs", Kind::Sections(INPUTS), Default::Required, "Where events come from, by id. At least one; at most one of type `stdin`.").like("{ app: { type: file, include: [\"/var/log/app/*.log\"] } }"),
        setting("outputs", Kind::Sections(&[&KINESIS]), Default::Required, "Where events go, by id. Every output gets the events of every input, unless it has `inputs` of its own. At least one must be active.").like("{ main: { type: kinesis, stream_name: logs, region: eu-west-1 } }"),
        setting("secrets", Kind::Sections(&[&SECRET]), Default::Is("{}"), "What is secret and kept elsewhere, by name. `${secret:NAME}` stands for it in settings that are never shown (keys, tokens, `external_id`, `proxy`); `auth: { method: secret, secret: NAME }` takes credentials from it.").like("{ kinesis: { file: /run/secrets/kinesis } }"),
        setting("admin", Kind::Section(&ADMIN), Default::Shown("none: nothing listens"), "An address for metrics, health, status and control; see below. `{}` is enough: then it is `127.0.0.1:9650`."),
        setting("pipelines", Kind::Sections(&[&PIPELINE]), Default::Is("{}"), "Programs that shape events, by name. Inputs and outputs name the one that they use; see below and docs/pipelines.md.").like("{ tidy: { source: \"del(.debug)\" } }"),
        setting("tests", Kind::Sections(&[&TEST]), Default::Is("{}"), "Tests of pipelines and routes, by name, for `millpond test`. They mean nothing to `run`."),
    ],
};

pub(in crate::config) static SECRET: Group = Group {
    name: "secret",
    of_type: None,
    place: "secrets.NAME",
    settings: &[
        setting("file", Kind::Path, Default::Nothing, "A file that holds it; one line end at its end does not count.")
            .like("/run/secrets/kinesis"),
        setting("env", Kind::Text(names::check_variable, None), Default::Nothing, "An environment variable that holds it.")
            .like("KINESIS_SECRET"),
        setting(
            "credential",
            Kind::Text(names::check_credential, None),
            Default::Nothing,
            "A credential that systemd hands to the service (`LoadCredential=`, `LoadCredentialEncrypted=`), by its name.",
        ).like("kinesis"),
    ],
};
