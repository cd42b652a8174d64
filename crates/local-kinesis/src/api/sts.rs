//! STS' AssumeRole and GetCallerIdentity, which speak another protocol: a form goes in, XML comes out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::{from_token, to_token};
use crate::RoleLifetime;
use crate::clock::iso_date;

/// An answer of STS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StsReply {
    pub(crate) status: u16,
    /// `ok` or the error's code.
    pub(crate) outcome: &'static str,
    pub(crate) body: String,
}

/// Values in the form, decoded.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key), decode(value))
                })
                .collect(),
        )
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Undoes percent-encoding; what is no valid escape stays as it is.
fn decode(text: &str) -> String {
    let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        match (byte, byte == b'%', hex(ahead.next()), hex(ahead.next())) {
            (b'+', ..) => decoded.push(b' '),
            (_, true, Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Refuses a call.
pub(crate) fn refused(status: u16, code: &'static str, message: &str, request_id: &str) -> StsReply {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(message)
    );
    StsReply { status, outcome: code, body }
}

/// What a session token says: who has it, and for how long. Nothing else need be kept of a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    account: String,
    /// Role and session name.
    name: String,
    /// Differs from call to call, so that a refresh can be seen.
    key: String,
    expires_ms: i64,
}

impl Session {
    /// The session that a token is for; none if it was not given here.
    pub(crate) fn of_token(token: &str) -> Option<Self> {
        from_token(token)
    }

    pub(crate) fn has_run_out(&self, now_ms: i64) -> bool {
        now_ms >= self.expires_ms
    }

    fn arn(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/{}", self.account, self.name)
    }
}

/// Who calls, in which request, when.
pub(crate) struct Caller<'a> {
    /// The endpoint's account.
    pub(crate) account: &'a str,
    /// None: credentials that were not given here.
    pub(crate) session: Option<&'a Session>,
    pub(crate) request_id: &'a str,
    pub(crate) now_ms: i64,
}

/// Says whom the credentials belong to.
pub(crate) fn caller_identity(caller: &Caller<'_>) -> StsReply {
    let (arn, account, id) = match caller.session {
        Some(session) => (session.arn(), session.account.as_str(), "AROALOCALKINESIS:session"),
        None => (format!("arn:aws:iam::{}:user/local", caller.account), caller.account, "AIDALOCALKINESIS"),
    };
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>{}</Arn><UserId>{id}</UserId><Account>{account}</Account></GetCallerIdentityResult>\
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
        escape(&arn),
        caller.request_id
    );
    StsReply { status: 200, outcome: "ok", body }
}

/// Gives credentials for any role.
pub(crate) fn assume_role(form: &Form, caller: &Caller<'_>, lifetime: Option<RoleLifetime>) -> StsReply {
    let request_id = caller.request_id;
    let invalid = |message: &str| refused(400, "ValidationError", message, request_id);
    let Some(arn) = form.get("RoleArn").filter(|arn| arn.len() >= 20 && arn.starts_with("arn:")) else {
        let found = form.get("RoleArn").unwrap_or_default();
        return invalid(&format!("'{found}' at 'roleArn' is no ARN of a role"));
    };
    let session = form.get("RoleSessionName").unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_=,.@-".contains(c);
    if !(2..=64).contains(&session.len()) || !session.chars().all(allowed) {
        return invalid(&format!(
            "'{session}' at 'roleSessionName' must be 2 to 64 of a-z A-Z 0-9 _ = , . @ -"
        ));
    }
    let duration = form.get("DurationSeconds").unwrap_or("3600");
    let Some(seconds) = duration.parse::<i64>().ok().filter(|seconds| (900..=43_200).contains(seconds))
    else {
        return invalid(&format!("'{duration}' at 'durationSeconds' must be from 900 to 43200"));
    };
    let asked_ms = caller.now_ms + seconds * 1000;
    let after = |lifetime: Duration| caller.now_ms.saturating_add(millis(lifetime)) / 1000 * 1000;
    let (stated_ms, expires_ms) = match lifetime {
        None => (asked_ms, asked_ms),
        // In whole seconds, as it is stated.
        Some(RoleLifetime::Stated(lifetime)) => (after(lifetime), after(lifetime)),
        Some(RoleLifetime::Unstated(lifetime)) => (asked_ms, after(lifetime)),
    };
    let role = arn.rsplit('/').next().unwrap_or_default();
    let account = arn.split(':').nth(4).filter(|account| account.len() == 12).unwrap_or(caller.account);
    let key: String =
        request_id.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
    let key_id = key.get(..16).unwrap_or("LOCALKINESISLOCA");
    let name = format!("{role}/{session}");
    let given = Session { account: account.to_owned(), name, key: key.clone(), expires_ms };
    let (arn, session, token) = (escape(&given.arn()), escape(session), to_token(&given));
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <AssumedRoleUser><Arn>{arn}</Arn>\
         <AssumedRoleId>AROALOCALKINESIS:{session}</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>ASIA{key_id}</AccessKeyId><SecretAccessKey>{key}LOCAL</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleResult>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></AssumeRoleResponse>",
        iso_date(stated_ms)
    );
    StsReply { status: 200, outcome: "ok", body }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form =
            Form::parse(b"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3a%3A1&Name=a+b%20c&Odd=%zz%4&Empty&&");
        assert_eq!(form.get("Action"), Some("AssumeRole"));
        assert_eq!(form.get("RoleArn"), Some("arn:aws:iam::1"));
        assert_eq!(form.get("Name"), Some("a b c"));
        assert_eq!(form.get("Odd"), Some("%zz%4"));
        assert_eq!(form.get("Empty"), Some(""));
        assert_eq!(form.get("Nothing"), None);
    }

    fn caller(session: Option<&Session>) -> Caller<'_> {
        Caller { account: "000000000000", session, request_id: "0f-a1b2c3d4e5f60718", now_ms: 0 }
    }

    #[track_caller]
    fn check(form: &str, status: u16, part: &str) {
        let reply = assume_role(&Form::parse(form.as_bytes()), &caller(None), None);
        assert_eq!(reply.status, status, "{}", reply.body);
        assert!(reply.body.contains(part), "{} lacks {part}", reply.body);
    }

    #[test]
    fn roles() {
        let right = "RoleArn=arn:aws:iam::123456789012:role/path/forward&RoleSessionName=millpond";
        check(right, 200, "arn:aws:sts::123456789012:assumed-role/forward/millpond");
        check(right, 200, "<Expiration>1970-01-01T01:00:00Z</Expiration>");
        check(&format!("{right}&DurationSeconds=900"), 200, "1970-01-01T00:15:00Z");
        check(&format!("{right}&DurationSeconds=899"), 400, "<Code>ValidationError</Code>");
        check("RoleArn=x&RoleSessionName=millpond", 400, "no ARN of a role");
        check("RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=a%3Cb", 400, "a&lt;b");
    }

    fn session(lifetime: Option<RoleLifetime>) -> (String, Session) {
        let form = b"RoleArn=arn:aws:iam::123456789012:role/forward&RoleSessionName=millpond";
        let reply = assume_role(&Form::parse(form), &caller(None), lifetime);
        let between =
            |begin: &str, end: &str| reply.body.split_once(begin).unwrap().1.split_once(end).unwrap().0;
        let session = Session::of_token(between("<SessionToken>", "</SessionToken>")).unwrap();
        (between("<Expiration>", "</Expiration>").to_owned(), session)
    }

    #[test]
    fn sessions_run_out() {
        let hour = "1970-01-01T01:00:00Z";
        let check = |lifetime: Option<RoleLifetime>, stated: &str, expires_ms: i64| {
            let (found, session) = session(lifetime);
            assert_eq!(found, stated, "{lifetime:?}");
            assert!(!session.has_run_out(expires_ms - 1) && session.has_run_out(expires_ms), "{session:?}");
        };
        check(None, hour, 3_600_000);
        let lifetime = Duration::from_millis(3_999);
        check(Some(RoleLifetime::Stated(lifetime)), "1970-01-01T00:00:03Z", 3_000);
        check(Some(RoleLifetime::Unstated(lifetime)), hour, 3_000);
        assert!(Session::of_token("a token of somebody else").is_none());
    }

    #[test]
    fn callers_are_told_who_they_are() {
        let (_, session) = session(None);
        for (session, arn, account) in [
            (None, "arn:aws:iam::000000000000:user/local", "000000000000"),
            (Some(&session), "arn:aws:sts::123456789012:assumed-role/forward/millpond", "123456789012"),
        ] {
            let reply = caller_identity(&caller(session));
            assert_eq!((reply.status, reply.outcome), (200, "ok"));
            for part in [format!("<Arn>{arn}</Arn>"), format!("<Account>{account}</Account>")] {
                assert!(reply.body.contains(&part), "{} lacks {part}", reply.body);
            }
        }
    }
}
