//! Questions that are asked before anything is forwarded: who am I, what is the stream like, may I put
//! to it, what time is it there. None of them changes anything.

use std::time::SystemTime;

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_kinesis as kinesis;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamMode};
use aws_sdk_sts as sts;
use http::Uri;

use super::{AwsClient, Shared, credentials, errors, wrong_settings};
use crate::classify::{self, Context};
use crate::client::Failure;
use crate::output::Api;

/// Credentials that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The access key's id: no secret, it is part of every request.
    pub access_key: String,
    /// When they run out, if they do, by this machine's clock.
    pub expiry: Option<SystemTime>,
}

/// Whom credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `arn:aws:sts::…:assumed-role/edge/millpond`.
    pub arn: String,
    /// Twelve digits.
    pub account: String,
}

/// A stream as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    /// `arn:aws:kinesis:…:stream/logs`.
    pub arn: String,
    /// `ACTIVE`, `CREATING`, `UPDATING` or `DELETING`.
    pub status: String,
    /// Shards that take records.
    pub open_shards: u32,
    /// Its shards come and go by demand.
    pub on_demand: bool,
    /// Bytes of the largest record it takes, key included; `None` where the service does not say.
    pub record_bytes_max: Option<u64>,
    /// The KMS key that it is encrypted with.
    pub kms_key: Option<String>,
}

/// What came of a put that is not meant to store anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryPut {
    /// The credentials may put.
    Allowed,
    /// They may, and a record without events was stored: the endpoint honours neither the dry run nor the
    /// limits of hash keys.
    Stored,
    /// They may not, or nothing could be found out.
    Failed(Failure),
}

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html (read 2026-11)
//# DryRun: Checks if your request will succeed.
/// The record of a dry run: one that says it has no events, should it ever be stored …
const NOTHING: &[u8] = b"{\"format\":\"ndjson\",\"count\":0,\"size\":0}\n";
/// … under a hash key that is one too large, so that an endpoint which does not know of dry runs refuses
/// it too, after it has looked at permissions.
const HASH_KEY_TOO_LARGE: &str = "340282366920938463463374607431768211456";

impl AwsClient {
    /// Looks for credentials, those of the role if there is one.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn find_credentials(&self) -> Result<Found, Failure> {
        let shared = &*self.shared;
        let http = shared.http.always_checking().map_err(wrong_settings)?;
        let provider = credentials::provider(&shared.settings, &http, &shared.clock).await;
        let found = tokio::time::timeout(super::CREDENTIALS_TIMEOUT, provider.provide_credentials()).await;
        let context = shared.context("credentials", "");
        match found {
            Ok(Ok(keys)) => Ok(Found { access_key: keys.access_key_id().to_owned(), expiry: keys.expiry() }),
            Ok(Err(error)) => {
                let looked_in = credentials::looked_in(&shared.settings.credentials);
                Err(errors::no_credentials(context, &error, &looked_in))
            }
            Err(_) => {
                let what = format!("their source gave no answer within {:?}", super::CREDENTIALS_TIMEOUT);
                Err(classify::no_answer(context, crate::Cause::Credentials, &what, false))
            }
        }
    }

    /// Asks STS whom the credentials belong to. Everybody may ask that.
    ///
    /// # Errors
    /// Why it could not be found out; not always a fault of the credentials, since STS may be out of
    /// reach where Kinesis is not.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        let shared = &*self.shared;
        let http = shared.http.always_checking().map_err(wrong_settings)?;
        let provider = credentials::provider(&shared.settings, &http, &shared.clock).await;
        let config = credentials::sts_config(&shared.settings, &http);
        // Once more for the clock; somebody waits for the answer.
        let retries = RetryConfig::standard().with_max_attempts(2);
        let config =
            sts::config::Builder::from(&config).credentials_provider(provider).retry_config(retries).build();
        let client = sts::Client::from_conf(config);
        let limit = shared.settings.timeouts.attempt;
        let context = Context { operation: "GetCallerIdentity", stream: "", place: "STS" };
        match tokio::time::timeout(limit, client.get_caller_identity().send()).await {
            Ok(Ok(answer)) => Ok(Identity {
                arn: answer.arn.unwrap_or_default(),
                account: answer.account.unwrap_or_default(),
            }),
            Ok(Err(error)) => {
                let looked_in = credentials::looked_in(&shared.settings.credentials);
                Err(errors::failure(context, &error, &looked_in))
            }
            Err(_) => {
                let what = format!("no answer within {:.0} s", limit.as_secs_f64());
                Err(classify::no_answer(context, crate::Cause::Timeout, &what, false))
            }
        }
    }

    /// Asks the stream to describe itself, which needs the permission `kinesis:DescribeStreamSummary`.
    ///
    /// # Errors
    /// As with any call.
    pub async fn describe(&self, stream: &str) -> Result<StreamSummary, Failure> {
        let context = self.shared.context("DescribeStreamSummary", stream);
        let call = |client: kinesis::Client| client.describe_stream_summary().stream_name(stream).send();
        let answer = self.shared.attempt(context, 0, call).await?;
        let summary = answer.stream_description_summary.filter(|summary| !summary.stream_name.is_empty());
        let Some(summary) = summary else {
            return Err(classify::not_kinesis(context, "it describes no stream", Some(200)));
        };
        let mode = summary.stream_mode_details.map(|details| details.stream_mode);
        let kib = summary.max_record_size_in_kib.and_then(|kib| u64::try_from(kib).ok());
        Ok(StreamSummary {
            arn: summary.stream_arn,
            status: summary.stream_status.as_str().to_owned(),
            open_shards: u32::try_from(summary.open_shard_count).unwrap_or(0),
            on_demand: mode == Some(StreamMode::OnDemand),
            record_bytes_max: kib.map(|kib| kib * 1024),
            kms_key: summary.key_id,
        })
    }

    /// Sees whether the credentials may put to the stream, without storing anything.
    pub async fn try_put(&self, stream: &str, api: Api) -> TryPut {
        let outcome = match api {
            Api::PutRecord => self.try_put_record(stream).await,
            Api::PutRecords => self.try_put_records(stream).await,
        };
        match outcome {
            Ok(()) => TryPut::Stored,
            Err(failure) if says_allowed(&failure) => TryPut::Allowed,
            Err(failure) => TryPut::Failed(failure),
        }
    }

    async fn try_put_record(&self, stream: &str) -> Result<(), Failure> {
        let context = self.shared.context("PutRecord", stream);
        let call = |client: kinesis::Client| {
            client
                .put_record()
                .stream_name(stream)
                .partition_key("millpond-check")
                .explicit_hash_key(HASH_KEY_TOO_LARGE)
                .data(Blob::new(NOTHING))
                .dry_run(true)
                .send()
        };
        self.shared.attempt(context, NOTHING.len(), call).await.map(drop)
    }

    async fn try_put_records(&self, stream: &str) -> Result<(), Failure> {
        let context = self.shared.context("PutRecords", stream);
        let record = PutRecordsRequestEntry::builder()
            .partition_key("millpond-check")
            .explicit_hash_key(HASH_KEY_TOO_LARGE)
            .data(Blob::new(NOTHING))
            .build()
            .map_err(|error| wrong_settings(error.to_string()))?;
        let call = |client: kinesis::Client| {
            client.put_records().stream_name(stream).records(record.clone()).dry_run(true).send()
        };
        let answer = self.shared.attempt(context, NOTHING.len(), call).await?;
        match answer.records.first().and_then(|result| result.error_code.as_deref()) {
            None => Ok(()),
            Some(code) => {
                let words = answer.records[0].error_message.as_deref().unwrap_or_default();
                Err(classify::record_error(context, code, words))
            }
        }
    }

    /// Milliseconds that the service's clock is ahead of this machine's, by its last answer; negative: behind.
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.shared.clock.ahead_ms()
    }

    /// The proxy that calls to the stream go through, without its password.
    pub fn proxy(&self) -> Option<String> {
        self.shared.http.proxy_of(&self.shared.uri()?)
    }

    /// Whether calls to the stream are encrypted.
    pub fn uses_tls(&self) -> bool {
        self.shared.uri().is_none_or(|uri| uri.scheme_str() != Some("http"))
    }
}

impl Shared {
    /// Where calls go, as far as that matters for proxies.
    fn uri(&self) -> Option<Uri> {
        let of_region = || format!("https://kinesis.{}.amazonaws.com", self.settings.region);
        self.settings.endpoint.clone().unwrap_or_else(of_region).parse().ok()
    }
}

/// The call was refused after permissions were looked at.
fn says_allowed(failure: &Failure) -> bool {
    let codes = ["DryRunOperationException", "InvalidArgumentException"];
    failure.code.as_deref().is_some_and(|code| codes.contains(&code))
}
