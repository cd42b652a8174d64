//! What a person can do about a dead letter, by its code. Pure.

use super::letters::{Letter, WhyRefused};

/// Codes of our own, and those with which Kinesis refuses a record for good.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["Oversize"],
        "the event is larger than a record may be: raise max_record_size of the output (and the stream's own limit, which \
         is 1 MiB unless somebody has raised it), then retry; or set oversize to truncate for those to come",
    ),
    (
        &["RecordTooLarge"],
        "no stream takes a record of more than 10 MiB: read it with `dead-letters show`, then purge it; a lower \
         max_record_size keeps it from happening again",
    ),
    (
        &["PartitionKey"],
        "the letter keeps its key, so no retry helps: read it with `dead-letters show`, then purge it; for those to come, \
         choose another partition_key",
    ),
    (
        &["PipelineFailed"],
        "the pipeline failed on it: mend the program for those to come (`millpond pipeline try` shows what it makes of an \
         event); a retry sends the event as it came to the pipeline",
    ),
    (
        &["ForeignFrame"],
        "something that is no batch was in the queue: another program has written there, or a newer millpond. It cannot be \
         sent; `dead-letters show --json` has its bytes",
    ),
    (
        &[
            "ValidationException",
            "ValidationError",
            "InvalidArgumentException",
            "InvalidParameterException",
            "InvalidParameterValue",
        ],
        "Kinesis does not take the record as it is. Mostly it is larger than the stream's limit (1 MiB unless somebody has \
         raised it): raise that, then retry",
    ),
];

/// What can be done about it.
#[must_use]
pub fn of(code: &str) -> &'static str {
    let known = REMEDIES.iter().find(|(codes, _)| codes.contains(&code));
    known.map_or(
        "Kinesis has refused it; when what the message complains about is mended, retry",
        |(_, remedy)| remedy,
    )
}

/// Why a letter cannot be sent again, if that is so. What never became a record may become one, if the output is known.
#[must_use]
pub fn obstacle(letter: &Letter) -> Option<&'static str> {
    match &letter.reason {
        WhyRefused { format, .. } if format == "frame" => {
            Some("it is no record, but bytes that were found in the queue")
        }
        WhyRefused { format, .. } if !["gzip", "ndjson", "event", "opaque"].contains(&format.as_str()) => {
            Some("its format is not known here: a newer millpond wrote it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use millpond_kinesis::Class;
    use millpond_kinesis::classify::class_and_remedy;

    use super::*;

    #[test]
    fn every_code_that_can_be_written_has_a_remedy_of_its_own() {
        let unknown = of("Other");
        let mut codes: Vec<&str> = REMEDIES.iter().flat_map(|(codes, _)| *codes).copied().collect();
        for code in &codes {
            assert_ne!(of(code), unknown, "{code}");
        }
        // Of the service's codes, those and no others are for good.
        codes.retain(|code| code.starts_with("Validation") || code.starts_with("Invalid"));
        assert_eq!(codes.len(), 5);
        for code in codes {
            assert_eq!(class_and_remedy(code, "the data of the record").0, Class::Rejected, "{code}");
        }
        assert_ne!(class_and_remedy("Oversize", "").0, Class::Rejected);
    }
}
