use proptest::prelude::*;

use super::*;

const CONTEXT: Context<'static> = Context { operation: "PutRecords", stream: "logs", place: "us-east-1" };

fn ok(sequence_number: &str) -> PutResult {
    PutResult {
        sequence_number: Some(sequence_number.to_owned()),
        shard_id: Some("shardId-000000000000".to_owned()),
        ..PutResult::default()
    }
}

fn failed(code: &str) -> PutResult {
    PutResult {
        error_code: Some(code.to_owned()),
        error_message: Some("words of the service".to_owned()),
        ..PutResult::default()
    }
}

fn check(results: &[PutResult], expected: &str, worst: Option<Class>) {
    let sent: Vec<u32> = (10..10 + results.len() as u32).collect();
    let settled = settle(CONTEXT, &sent, Ok(results));
    let fates: String = sent
        .iter()
        .map(|index| {
            let delivered = settled.delivered.contains(index);
            let retry = settled.retry.contains(index);
            let rejected = settled.rejected.iter().any(|record| record.index == *index);
            match (delivered, retry, rejected) {
                (true, false, false) => 'd',
                (false, true, false) => 'r',
                (false, false, true) => 'x',
                _ => '?',
            }
        })
        .collect();
    assert_eq!(fates, expected, "{results:?}");
    assert_eq!(settled.failure.map(|failure| failure.class), worst, "{results:?}");
}

#[test]
fn each_record_has_its_own_fate() {
    let throttled = || failed("ProvisionedThroughputExceededException");
    check(&[ok("1"), ok("2")], "dd", None);
    check(&[ok("1"), throttled(), ok("3")], "drd", Some(Class::Throttled));
    check(&[throttled(), failed("InternalFailure")], "rr", Some(Class::Transient));
    check(&[failed("SomethingNew"), ok("1")], "rd", Some(Class::Transient));
    check(&[failed("KMSAccessDeniedException"), throttled()], "rr", Some(Class::Misconfigured));
    check(&[failed("InvalidArgumentException"), ok("1")], "xd", None);
    check(&[failed("ValidationException"), throttled()], "xr", Some(Class::Throttled));
}

#[test]
fn nothing_but_a_sequence_number_confirms() {
    check(&[PutResult::default()], "r", Some(Class::Transient));
    check(&[ok("")], "r", Some(Class::Transient));
    check(&[ok("  ")], "r", Some(Class::Transient));
    let contradiction = PutResult { error_code: Some("InternalFailure".to_owned()), ..ok("1") };
    check(&[contradiction], "r", Some(Class::Transient));
    let blank_error = PutResult { error_code: Some(String::new()), ..ok("1") };
    check(&[blank_error], "d", None);
}

#[test]
fn an_answer_with_another_count_confirms_nothing() {
    for results in [vec![], vec![ok("1")], vec![ok("1"), ok("2"), ok("3")]] {
        let settled = settle(CONTEXT, &[4, 7], Ok(&results));
        assert_eq!(settled.retry, [4, 7]);
        let failure = settled.failure.unwrap();
        assert!(failure.may_have_arrived);
        assert!(failure.message.contains("results for 2 records"), "{failure}");
    }
}

#[test]
fn a_refusal_of_several_rejects_none_of_them() {
    let refusal = classify::record_error(CONTEXT, "ValidationException", "a record is too large");
    assert_eq!(refusal.class, Class::Rejected);
    let settled = settle(CONTEXT, &[1, 2], Err(&refusal));
    assert_eq!(settled.retry, [1, 2]);
    assert_eq!(settled.failure.unwrap().class, Class::Transient);
    let settled = settle(CONTEXT, &[2], Err(&refusal));
    assert_eq!(settled.rejected[0].index, 2);
    assert_eq!(settled.rejected[0].code, "ValidationException");
}

#[test]
fn the_message_counts_instead_of_repeating() {
    let mut results = vec![failed("ProvisionedThroughputExceededException"); 412];
    results.resize(500, ok("1"));
    let sent: Vec<u32> = (0..500).collect();
    let failure = settle(CONTEXT, &sent, Ok(&results)).failure.unwrap();
    assert!(failure.message.starts_with("412 of 500 records"), "{failure}");
}

fn any_result() -> impl Strategy<Value = PutResult> {
    let text = || prop::option::of(prop_oneof![Just(String::new()), Just(" ".to_owned()), "[a-z0-9]{1,4}"]);
    let code = prop::option::of(prop_oneof![
        Just("ProvisionedThroughputExceededException".to_owned()),
        Just("InternalFailure".to_owned()),
        Just("InvalidArgumentException".to_owned()),
        Just("KMSDisabledException".to_owned()),
        ".{0,6}",
    ]);
    (text(), text(), code, text()).prop_map(|(sequence_number, shard_id, error_code, error_message)| {
        PutResult { sequence_number, shard_id, error_code, error_message }
    })
}

proptest! {
    #[test]
    fn delivered_and_retry_and_rejected_are_what_was_sent(
        results in prop::collection::vec(any_result(), 0..30),
        sent in 0u32..30,
    ) {
        let sent: Vec<u32> = (0..sent).map(|index| index * 3).collect();
        let settled = settle(CONTEXT, &sent, Ok(&results));
        let mut all = settled.delivered.clone();
        all.extend(&settled.retry);
        all.extend(settled.rejected.iter().map(|record| record.index));
        all.sort_unstable();
        prop_assert_eq!(&all, &sent);
        prop_assert_eq!(settled.failure.is_none(), settled.retry.is_empty());
        for (index, result) in sent.iter().zip(&results) {
            if settled.delivered.contains(index) {
                prop_assert!(!result.sequence_number.as_deref().unwrap_or("").trim().is_empty());
                prop_assert_eq!(results.len(), sent.len());
            }
        }
    }
}
