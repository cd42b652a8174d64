//! Kinesis through the AWS SDK. Nothing else in the program imports the SDK.
//!
//! The SDK signs, finds credentials and speaks the protocol. It does not retry (one attempt is the
//! caller's to repeat), it does not time out (an attempt gets time in proportion to its body), and it
//! does not open connections (`aws/http.rs` does).
//!
//! Two things are tried again within an attempt, at once and once each, because the service asks for
//! exactly that: a request whose signature was refused (the SDK takes the time difference from the
//! `Date` of the refusal, and the next signature is right), and one whose session token had expired
//! (the credentials are fetched anew).

pub mod body;
mod clock;
mod credentials;
mod dial;
mod errors;
mod http;
mod online;
mod pace;
mod settings;
mod share;
mod tls;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_kinesis as kinesis;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, IdentityCache, Region, StalledStreamProtectionConfig, retry::RetryConfig,
};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_types::endpoint_config::AccountIdEndpointMode;

pub use online::{Found, Identity, StreamSummary, TryPut};
pub use settings::{AssumeRole, Credentials, KeySource, Keys, Proxy, Secret, Settings, Timeouts};
pub use tls::config as tls_config;

use crate::batch::RecordRef;
use crate::classify::{self, Context};
use crate::client::{Cause, Class, Client, ClientFuture, Failure, ListShards, PutResult};
use crate::limits;
use crate::shards::{Shard, ShardPage};
use clock::Clock;
use http::{Http, HttpSettings};
use pace::Pace;

/// How long a source of credentials may take: more than the SDK's 5 s, for STS over a thin link, and
/// less than an attempt, so that it is the credentials that are said to be missing.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);

/// Temporary credentials are renewed this long before they run out. More than the SDK's 10 s, so that a
/// link that is down for a moment does not let them run out.
const CREDENTIALS_BUFFER: Duration = Duration::from_secs(60);

/// Kinesis through the AWS SDK. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AwsClient {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    place: String,
    http: Http,
    clock: Arc<Clock>,
    /// The SDK's client with its cached credentials.
    client: Mutex<Renewable>,
    /// Held while the client is replaced.
    renewing: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
    /// That the clock of this machine is wrong was said.
    clock_said: AtomicBool,
}

/// A client that is replaced to fetch its credentials anew.
#[derive(Clone)]
struct Renewable {
    client: kinesis::Client,
    /// How often it was replaced.
    generation: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl AwsClient {
    /// Makes a client. Talks to nobody: credentials are fetched with the first call, and a box with
    /// none gets [`Class::Misconfigured`] from each call until there are some. Fails on settings
    /// that can never work ([`Cause::Settings`]).
    pub async fn connect(settings: Settings) -> Result<AwsClient, Failure> {
        settings.check().map_err(wrong_settings)?;
        let clock = Arc::new(Clock::new());
        let http_settings = HttpSettings {
            connect_timeout: settings.timeouts.connect,
            reuse_connections: settings.reuse_connections,
            reject_unauthorized: settings.reject_unauthorized,
            ca_file: settings.ca_file.clone(),
            proxy: settings.proxy.clone(),
        };
        let http = Http::new(http_settings, Arc::clone(&clock)).map_err(wrong_settings)?;
        let client = sdk_client(&settings, &http, &clock).await?;
        let shared = Shared {
            place: settings.endpoint.clone().unwrap_or_else(|| settings.region.clone()),
            http,
            clock,
            client: Mutex::new(Renewable { client, generation: 0 }),
            renewing: tokio::sync::Mutex::new(()),
            pace: Mutex::new(Pace::new(settings.timeouts.bytes_per_second_min)),
            clock_said: AtomicBool::new(false),
            settings,
        };
        Ok(AwsClient { shared: Arc::new(shared) })
    }
}

/// A client with nothing cached.
async fn sdk_client(
    settings: &Settings,
    http: &Http,
    clock: &Arc<Clock>,
) -> Result<kinesis::Client, Failure> {
    // The certificate of STS and its like is checked even where that of Kinesis is not.
    let for_credentials = http.always_checking().map_err(wrong_settings)?;
    let mut config = kinesis::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(settings.region.clone()))
        .http_client(http.clone())
        .credentials_provider(credentials::provider(settings, &for_credentials, clock).await)
        .identity_cache(
            IdentityCache::lazy().load_timeout(CREDENTIALS_TIMEOUT).buffer_time(CREDENTIALS_BUFFER).build(),
        )
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        // It watches bodies that stream; ours are in memory, and the kernel watches the upload.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .account_id_endpoint_mode(if settings.account_id_endpoints {
            AccountIdEndpointMode::Preferred
        } else {
            AccountIdEndpointMode::Disabled
        })
        .use_fips(settings.fips)
        .use_dual_stack(settings.dual_stack)
        .sleep_impl(TokioSleep::new());
    config.set_endpoint_url(settings.endpoint.clone());
    Ok(kinesis::Client::from_conf(config.build()))
}

fn wrong_settings(what: String) -> Failure {
    Failure {
        class: Class::Misconfigured,
        cause: Cause::Settings,
        code: None,
        status: None,
        message: what,
        may_have_arrived: false,
        retry_after: None,
        request_id: None,
    }
}

impl Shared {
    fn context<'a>(&'a self, operation: &'a str, stream: &'a str) -> Context<'a> {
        Context { operation, stream, place: &self.place }
    }

    fn client(&self) -> MutexGuard<'_, Renewable> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the credentials of a client, and all that their source remembers. Of several calls that
    /// found the same credentials bad, the first renews them and the others wait for it.
    async fn renew(&self, refused: u64) {
        let _one_at_a_time = self.renewing.lock().await;
        if self.client().generation != refused {
            return;
        }
        if let Ok(client) = sdk_client(&self.settings, &self.http, &self.clock).await {
            *self.client() = Renewable { client, generation: refused + 1 };
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request, within its time.
    async fn once<T, E, F>(
        &self,
        context: Context<'_>,
        data_bytes: usize,
        client: kinesis::Client,
        call: &impl Fn(kinesis::Client) -> F,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let body_bytes = data_bytes as u64 / 3 * 4;
        let limit = self.pace().limit(self.settings.timeouts.attempt, body_bytes);
        let begin = Instant::now();
        match tokio::time::timeout(limit, call(client)).await {
            Ok(Ok(output)) => {
                self.pace().answered(body_bytes, begin.elapsed());
                Ok(output)
            }
            Ok(Err(error)) => {
                let looked_in = credentials::looked_in(&self.settings.credentials);
                Err(errors::failure(context, &error, &looked_in))
            }
            Err(_) => {
                self.pace().timed_out();
                let what = format!("no answer within {:.0} s", limit.as_secs_f64());
                Err(classify::no_answer(context, Cause::Timeout, &what, true))
            }
        }
    }

    /// A signature was good only once it was corrected. Said once.
    fn say_clock(&self) {
        if let Some(ahead_ms) = self.clock.wrong_by_ms()
            && !self.clock_said.swap(true, Ordering::Relaxed)
        {
            let service_is_ahead_secs = ahead_ms / 1000;
            tracing::warn!(
                service_is_ahead_secs,
                "this machine's clock is wrong: signatures are corrected by the service's date, event times are not; set it (NTP)"
            );
        }
    }

    /// One attempt: `call` once, or once more for the clock and once more for an expired token.
    async fn attempt<T, E, F>(
        &self,
        context: Context<'_>,
        data_bytes: usize,
        call: impl Fn(kinesis::Client) -> F,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut clock_corrected = false;
        let mut renewed = false;
        loop {
            let Renewable { client, generation } = self.client().clone();
            let failure = match self.once(context, data_bytes, client, &call).await {
                Ok(output) => {
                    if clock_corrected {
                        self.say_clock();
                    }
                    return Ok(output);
                }
                Err(failure) => failure,
            };
            if refused_for_signature(&failure) && !clock_corrected {
                clock_corrected = true;
                continue;
            }
            if is_about_credentials(&failure) {
                // Whoever repairs them need not restart this program.
                self.renew(generation).await;
                if has_expired(&failure) && !renewed {
                    renewed = true;
                    clock_corrected = false;
                    continue;
                }
            }
            return Err(failure);
        }
    }
}

fn refused_for_signature(failure: &Failure) -> bool {
    let code = failure.code.as_deref().unwrap_or_default();
    failure.class == Class::Clock || ["InvalidSignatureException", "SignatureDoesNotMatch"].contains(&code)
}

fn has_expired(failure: &Failure) -> bool {
    let code = failure.code.as_deref().unwrap_or_default();
    ["ExpiredToken", "ExpiredTokenException"].contains(&code)
}

fn is_about_credentials(failure: &Failure) -> bool {
    let codes = [
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
    ];
    let code = failure.code.as_deref().unwrap_or_default();
    failure.class == Class::Misconfigured
        && (failure.cause == Cause::Credentials || has_expired(failure) || codes.contains(&code))
}

impl Client for AwsClient {
    fn place(&self) -> &str {
        &self.shared.place
    }

    fn put_record<'a>(&'a self, stream: &'a str, record: RecordRef<'a>) -> ClientFuture<'a, PutResult> {
        let context = self.shared.context("PutRecord", stream);
        Box::pin(async move {
            let body = body::put_record(stream, &record);
            let call = |client: kinesis::Client| {
                let body = body.clone();
                let put = client.put_record().stream_name(stream).customize();
                put.mutate_request(move |request| body::replace(request, &body)).send()
            };
            let output = self.shared.attempt(context, record.data.len(), call).await?;
            Ok(PutResult {
                sequence_number: Some(output.sequence_number),
                shard_id: Some(output.shard_id),
                ..PutResult::default()
            })
        })
    }

    fn put_records<'a>(
        &'a self,
        stream: &'a str,
        records: &'a [RecordRef<'a>],
    ) -> ClientFuture<'a, Vec<PutResult>> {
        let context = self.shared.context("PutRecords", stream);
        Box::pin(async move {
            let body = body::put_records(stream, records);
            let bytes = records.iter().map(RecordRef::wire_bytes).sum();
            let call = |client: kinesis::Client| {
                let body = body.clone();
                let put = client.put_records().stream_name(stream).set_records(Some(Vec::new())).customize();
                put.mutate_request(move |request| body::replace(request, &body)).send()
            };
            let output = self.shared.attempt(context, bytes, call).await?;
            let results = output.records.into_iter().map(|result| PutResult {
                sequence_number: result.sequence_number,
                shard_id: result.shard_id,
                error_code: result.error_code,
                error_message: result.error_message,
            });
            Ok(results.collect())
        })
    }

    fn list_shards<'a>(&'a self, page: ListShards<'a>) -> ClientFuture<'a, ShardPage> {
        let (name, token) = match page {
            ListShards::First { stream } => (Some(stream), None),
            ListShards::Next { token, .. } => (None, Some(token)),
        };
        let context = self.shared.context("ListShards", page.stream());
        Box::pin(async move {
            let call = |client: kinesis::Client| {
                client
                    .list_shards()
                    .set_stream_name(name.map(str::to_owned))
                    .set_next_token(token.map(str::to_owned))
                    .max_results(limits::SHARDS_PER_PAGE)
                    .send()
            };
            let output = self.shared.attempt(context, 0, call).await?;
            let Some(shards) = output.shards else {
                return Err(classify::not_kinesis(context, "it lists no shards", Some(200)));
            };
            Ok(ShardPage {
                shards: shards.into_iter().map(shard).collect(),
                next: output.next_token.filter(|token| !token.is_empty()),
                stream_status: None,
            })
        })
    }

    fn describe_stream<'a>(&'a self, stream: &'a str, after: Option<&'a str>) -> ClientFuture<'a, ShardPage> {
        let context = self.shared.context("DescribeStream", stream);
        Box::pin(async move {
            let call = |client: kinesis::Client| {
                client
                    .describe_stream()
                    .stream_name(stream)
                    .set_exclusive_start_shard_id(after.map(str::to_owned))
                    .limit(limits::SHARDS_PER_PAGE)
                    .send()
            };
            share::DESCRIBE_STREAM.turn().await;
            let output = self.shared.attempt(context, 0, call).await?;
            let description =
                output.stream_description.filter(|description| !description.stream_name.is_empty());
            let Some(description) = description else {
                return Err(classify::not_kinesis(context, "it describes no stream", Some(200)));
            };
            let more = description.has_more_shards;
            let last = description.shards.last().map(|shard| shard.shard_id.clone());
            Ok(ShardPage {
                shards: description.shards.into_iter().map(shard).collect(),
                next: last.filter(|_| more),
                stream_status: Some(description.stream_status.as_str().to_owned()),
            })
        })
    }
}

fn shard(shard: kinesis::types::Shard) -> Shard {
    let range = shard.hash_key_range;
    let ended = shard
        .sequence_number_range
        .and_then(|range| range.ending_sequence_number)
        .is_some_and(|number| !number.is_empty());
    let (starting_hash_key, ending_hash_key) =
        range.map(|range| (range.starting_hash_key, range.ending_hash_key)).unwrap_or_default();
    Shard { id: shard.shard_id, starting_hash_key, ending_hash_key, open: !ended }
}
