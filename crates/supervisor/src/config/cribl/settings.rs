//! From the settings of a Kinesis destination of Cribl to those of an output.

use super::auth;
use super::queue;
use super::read::{Destination, Text};
use super::surroundings::Surroundings;
use super::write::Yaml;
use crate::config::names;
use crate::config::units::{Fault, Period, Size};
use crate::processing::SystemFields;
use crate::processing::system_fields::Useless;

const KIB: u64 = 1 << 10;

/// Largest record there may be, in KiB.
const RECORD_KIB_MAX: u64 = 10_240;

/// Settings of an output, in the order in which they are written.
#[derive(Default)]
pub(super) struct Settings(pub(super) Vec<(String, Yaml)>);

impl Settings {
    /// Adds a setting, if there is something to add.
    pub(super) fn put(&mut self, key: &str, value: impl Into<Option<Yaml>>) {
        self.0.extend(value.into().map(|value| (key.to_owned(), value)));
    }
}

/// The settings of the output that a destination becomes. What cannot be carried over is noted.
pub(super) fn output(from: &Destination<'_>, around: &Surroundings) -> Settings {
    let mut to = Settings::default();
    to.put("type", Yaml::word("kinesis"));
    to.put("description", from.plain_text("description").map(Yaml::text));
    to.put(
        "tags",
        from.texts("streamtags").map(|tags| Yaml::List(tags.into_iter().map(Yaml::text).collect())),
    );
    to.put("environment", environment(from));
    to.put("stream_name", stream_name(from, around));
    to.put(
        "region",
        around.text_or_variable(from, ("region", from.text("region")), "REGION", names::not_empty),
    );
    let endpoint = from.text("endpoint");
    if !matches!(endpoint, Text::Absent) {
        to.put(
            "endpoint",
            around.text_or_variable(from, ("endpoint", endpoint), "ENDPOINT", names::check_endpoint),
        );
    }
    to.put("auth", auth::auth(from, around));
    to.put("assume_role", auth::assume_role(from, around));
    // `true` is what millpond does unless told otherwise.
    let insecure = from.flag("rejectUnauthorized") == Some(false);
    to.put("reject_unauthorized", insecure.then(|| Yaml::word(false)));
    let backpressure = from.word("onBackpressure", &["block", "drop", "queue"], "block");
    to.put("backpressure", backpressure.map(Yaml::word));
    let record_bytes_max = record_size(from);
    let format = format(from);
    if backpressure == Some("queue") {
        to.put("queue", queue::queue(from, record_bytes_max.unwrap_or(KIB * KIB), format.gzip));
    } else {
        queue::unused(from);
    }
    to.put("concurrency", from.whole("concurrency", (1, 32)).map(Yaml::word));
    to.put("max_record_size", record_bytes_max.map(|bytes| Yaml::text(Size(bytes).to_string())));
    to.put("flush_period", flush_period(from).map(|period| Yaml::text(period.to_string())));
    to.0.extend(format.settings.0);
    to.put("use_list_shards", from.flag("useListShards").map(Yaml::word));
    to.put("reuse_connections", from.flag("reuseConnections").map(Yaml::word));
    to.put("system_fields", system_fields(from));
    report_what_has_no_counterpart(from);
    to
}

fn report_what_has_no_counterpart(from: &Destination<'_>) {
    if from.word("signatureVersion", &["v2", "v4"], "v4") == Some("v2") {
        let remedy = "it is left out, and v4 is used; nothing needs to be done";
        from.note("signatureVersion", Fault::new("has been retired by AWS", remedy));
    }
    if from.is_given("pipeline") {
        let remedy =
            "write what it does in VRL under `pipelines`, and name that here: docs/pipelines.md has recipes";
        from.note("pipeline", Fault::new("is not carried over: its functions are not in this file", remedy));
    }
    // Exports of Cribl's API repeat the id that the settings stand under.
    if from.plain_text("id").is_some_and(|id| id != from.id) {
        from.note("id", Fault::new("is not the id that the destination stands under", "the latter is used"));
    }
    // Of a destination that is translated this is known to be false.
    from.ignore(&["disabled", "type"]);
    from.report_unknown();
}

fn environment(from: &Destination<'_>) -> Option<Yaml> {
    let name = from.plain_text("environment")?;
    let fault = Fault::new(
        "is a Git branch in Cribl, and a name that the forwarder is started with in millpond",
        "start it with --environment or MILLPOND_ENVIRONMENT where this output is to run",
    );
    from.note("environment", fault);
    Some(Yaml::text(name))
}

/// Cribl takes a name only, but an ARN that slipped in holds what is needed.
fn stream_name(from: &Destination<'_>, around: &Surroundings) -> Yaml {
    let text = from.text("streamName");
    if let Text::Constant(text) = &text
        && let Some((_, name)) = text.strip_prefix("arn:").and_then(|arn| arn.split_once("stream/"))
        && names::check_stream(name).is_ok()
    {
        let remedy = format!("the name inside it is used: {name}; see that `region` is that of the ARN");
        from.note("streamName", Fault::new("is an ARN, not a name", remedy));
        return Yaml::text(name);
    }
    around.text_or_variable(from, ("streamName", text), "STREAM_NAME", names::check_stream)
}

fn record_size(from: &Destination<'_>) -> Option<u64> {
    let number = from.number("maxRecordSizeKB")?;
    let exact = format!("{number} KiB").parse::<Size>().ok().map(|Size(bytes)| bytes);
    let fitting = exact.unwrap_or(u64::MAX).clamp(KIB, RECORD_KIB_MAX * KIB);
    if exact != Some(fitting) {
        from.clamped("maxRecordSizeKB", &Size(fitting).to_string(), &format!("1 to {RECORD_KIB_MAX} KiB"));
    }
    Some(fitting)
}

fn flush_period(from: &Destination<'_>) -> Option<Period> {
    const MIN: Period = Period(std::time::Duration::from_millis(10));
    const MAX: Period = Period(std::time::Duration::from_secs(600));
    let number = from.number("flushPeriodSec")?;
    let exact = format!("{number}s").parse::<Period>().ok();
    // What has no exact period is either far too long or ends in fractions of a millisecond.
    let nearest = if super::quantity::whole(number) == 0 { MIN } else { MAX };
    let fitting = exact.unwrap_or(nearest).clamp(MIN, MAX);
    if exact != Some(fitting) {
        from.clamped(
            "flushPeriodSec",
            &fitting.to_string(),
            &format!("{MIN} to {MAX}, in whole milliseconds"),
        );
    }
    Some(fitting)
}

/// How records are made.
struct Format {
    gzip: bool,
    settings: Settings,
}

fn format(from: &Destination<'_>) -> Format {
    let mut settings = Settings::default();
    let compression = from.word("compression", &["none", "gzip"], "gzip");
    settings.put("compression", compression.map(Yaml::word));
    let gzip = compression != Some("none");
    // Cribl shows and uses `asNdjson` only without compression, and `maxEventsPerFlush` only with `asNdjson: false`.
    // Where they are not used they say nothing.
    from.ignore(&["asNdjson", "maxEventsPerFlush"]);
    if !gzip {
        let send_batched = from.flag("asNdjson");
        settings.put("send_batched", send_batched.map(Yaml::word));
        if send_batched == Some(false) {
            settings.put("records_per_flush", from.whole("maxEventsPerFlush", (1, 500)).map(Yaml::word));
        }
    }
    Format { gzip, settings }
}

/// The patterns, but for those that match no field of ours.
fn system_fields(from: &Destination<'_>) -> Option<Yaml> {
    if !from.is_given("systemFields") {
        let fault = Fault::new(
            "is not there, so that Cribl adds `cribl_pipe` to every event; here it is on those that a pipeline has shaped",
            "see whether a consumer of the stream needs it on all",
        );
        from.note("systemFields", fault);
        return None;
    }
    let mut patterns = from.texts("systemFields")?;
    let unknown = |(index, why)| (why == Useless::Unknown).then_some(index);
    let useless: Vec<usize> = SystemFields::choose(&patterns).1.into_iter().filter_map(unknown).collect();
    for index in useless.into_iter().rev() {
        let what = format!("has `{}`, which is no system field here: it is left out", patterns.remove(index));
        from.note("systemFields", Fault::new(what, "see whether a consumer of the stream needs it"));
    }
    Some(Yaml::List(patterns.into_iter().map(Yaml::Text).collect()))
}
