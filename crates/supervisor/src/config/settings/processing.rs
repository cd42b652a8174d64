//! The settings of pipelines and their tests.

use super::*;
use crate::processing::OnError;

/// The pipeline of an input.
pub(super) const INPUT_PIPELINE: Setting = Setting {
    example: Some("tidy"),
    ..setting(
        "pipeline",
        Kind::Text(names::check_id, None),
        Default::Nothing,
        "Name of a pipeline under `pipelines` that shapes its events, before any output has them.",
    )
};

pub(in crate::config) static PIPELINE: Group = Group {
    name: "pipeline",
    of_type: None,
    place: "pipelines.NAME",
    settings: &[
        setting(
            "source",
            Kind::Program,
            Default::Nothing,
            "The program, in [VRL](https://vrl.dev). `${…}` means nothing in it.",
        )
        .like(".site = \"harbour\""),
        setting("file", Kind::Path, Default::Nothing, "The file that holds the program, instead of `source`. A change of it is a change of the configuration.")
            .like("pipelines/tidy.vrl"),
        setting(
            "on_error",
            Kind::word::<OnError>(),
            Default::Is("pass"),
            "What happens to an event that the program fails on. `pass`: it goes on as it came. `dead_letter`: it is kept in the dead letters of the outputs that would have got it. `drop`: it is dropped and counted.",
        ),
    ],
};

pub(in crate::config) static TEST: Group = Group {
    name: "test",
    of_type: None,
    place: "tests.NAME",
    settings: &[
        setting("pipeline", Kind::Text(names::check_id, None), Default::Nothing, "The pipeline that is tested, by its name.").like("tidy"),
        setting("input", Kind::Text(names::check_id, None), Default::Nothing, "Instead of a pipeline: the input from which events go their whole way, through its pipeline, routes, the pipelines of outputs and system fields.").like("app"),
        setting(
            "given",
            Kind::Events,
            Default::Required,
            "What goes in: a list of events, and of lines as an input reads them. A line that is wrapped as text gets `_time: 0`, `host: \"test\"` and `source: \"test\"`.",
        ),
        setting(
            "expect",
            Kind::EventsOrByOutput,
            Default::Nothing,
            "What must come out: a list of events; with `input`, a list for each output by its id, nothing for those that are not named.",
        ),
        setting("holds", Kind::Program, Default::Nothing, "A condition in VRL that must hold for every event that comes out.").like("exists(.level)"),
        setting("ignore", Kind::Texts, Default::Is("[]"), "Fields that `expect` does not compare, such as times.").like("[\"_time\"]"),
    ],
};
