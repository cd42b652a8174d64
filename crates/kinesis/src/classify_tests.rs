use super::*;

#[test]
fn codes_have_their_class() {
    let check = |expected: Class, codes: &[&str]| {
        for code in codes {
            assert_eq!(class_and_remedy(code, "").0, expected, "{code}");
        }
    };
    check(
        Class::Throttled,
        &[
            "ProvisionedThroughputExceededException",
            "LimitExceededException",
            "KMSThrottlingException",
            "ThrottlingException",
        ],
    );
    check(
        Class::Misconfigured,
        &[
            "AccessDeniedException",
            "UnrecognizedClientException",
            "ExpiredTokenException",
            "InvalidClientTokenId",
            "ResourceNotFoundException",
            "KMSAccessDeniedException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSNotFoundException",
            "KMSOptInRequired",
            "MissingAuthenticationTokenException",
            "UnknownOperationException",
        ],
    );
    check(Class::Clock, &["RequestExpired", "RequestTimeTooSkewed"]);
    check(Class::Rejected, &["ValidationException", "InvalidArgumentException"]);
    check(
        Class::Transient,
        &[
            "InternalFailure",
            "ServiceUnavailable",
            "ResourceInUseException",
            "NeverHeardOf",
            "",
            "SerializationException",
        ],
    );
}

#[test]
fn codes_are_found_inside_their_wrapping() {
    for code in [
        "ResourceNotFoundException",
        "com.amazonaws.kinesis.v20131202#ResourceNotFoundException",
        "ResourceNotFoundException:http://internal.amazon.com/coral/com.amazonaws.kinesis/",
        "a#ResourceNotFoundException:http://x#y",
    ] {
        assert_eq!(bare_code(code), "ResourceNotFoundException", "{code}");
    }
}

#[test]
fn words_decide_where_the_code_does_not() {
    let check = |code: &str, words: &str, expected: Class| {
        assert_eq!(class_and_remedy(code, words).0, expected, "{code} {words}");
    };
    check("InvalidSignatureException", "Signature expired: 20261122T is now earlier than …", Class::Clock);
    check("InvalidSignatureException", "Signature not yet current: 2027 is still later than …", Class::Clock);
    check(
        "InvalidSignatureException",
        "The request signature we calculated does not match …",
        Class::Misconfigured,
    );
    check(
        "ValidationException",
        "1 validation error detected: Value 'a b' at 'streamName' failed to satisfy constraint",
        Class::Misconfigured,
    );
    check(
        "ValidationException",
        "Value '' at 'records.3.member.partitionKey' failed to satisfy constraint",
        Class::Rejected,
    );
    check(
        "ValidationException",
        "1 validation error detected: Value 'java.nio.HeapByteBuffer' at 'data' failed to satisfy constraint: Member must have length less than or equal to 1048576",
        Class::Rejected,
    );
    check("InvalidArgumentException", "Record in stream name logs has size 2 MB", Class::Rejected);
}

#[test]
fn a_sentence_names_place_code_and_remedy() {
    let context = Context { operation: "PutRecord", stream: "logs", place: "us-east-1" };
    let error = ServiceError {
        code: "AccessDeniedException",
        words: "User: x is not\nauthorized",
        status: 400,
        retry_after: None,
        request_id: Some("id"),
    };
    let failure = service_error(context, error);
    assert_eq!(
        failure.message,
        "PutRecord to stream logs at us-east-1: AccessDeniedException (User: x is not authorized): allow this \
         operation on the stream in the IAM policy of these credentials (and in the stream's resource policy, if it has one)"
    );
    assert!(!failure.may_have_arrived);
    let failure = not_kinesis(context, "HTML", Some(200));
    assert_eq!(
        failure.message,
        "PutRecord to stream logs at us-east-1: the answer is not from Kinesis (HTML, status 200): captive portal or proxy?"
    );
    assert!(failure.may_have_arrived);
}
