//! STS' AssumeRole, which speaks another protocol: a form goes in, XML comes out.

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

/// Gives credentials for any role. They differ from call to call, so that a refresh can be seen.
pub(crate) fn assume_role(form: &Form, account: &str, request_id: &str, now_ms: i64) -> StsReply {
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
    let role = arn.rsplit('/').next().unwrap_or_default();
    let account = arn.split(':').nth(4).filter(|account| account.len() == 12).unwrap_or(account);
    let key: String =
        request_id.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
    let key_id = key.get(..16).unwrap_or("LOCALKINESISLOCA");
    let (role, session) = (escape(role), escape(session));
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <AssumedRoleUser><Arn>arn:aws:sts::{account}:assumed-role/{role}/{session}</Arn>\
         <AssumedRoleId>AROALOCALKINESIS:{session}</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>ASIA{key_id}</AccessKeyId><SecretAccessKey>{key}LOCAL</SecretAccessKey>\
         <SessionToken>{key}</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleResult>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></AssumeRoleResponse>",
        iso_date(now_ms + seconds * 1000)
    );
    StsReply { status: 200, outcome: "ok", body }
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

    #[track_caller]
    fn check(form: &str, status: u16, part: &str) {
        let reply = assume_role(&Form::parse(form.as_bytes()), "000000000000", "0f-a1b2c3d4e5f60718", 0);
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
}
