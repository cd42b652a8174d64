//! The IAM policies that a configuration needs: no more than what its outputs call. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::checked::{Auth, Config, Format, Output};
use crate::config::names::account_of;

/// Somebody whom AWS knows, and what they have to be allowed.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    /// Who it is, in words: a role, or the credentials of outputs.
    identity: String,
    policy: Policy,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
}

/// Resources by what is done to them.
type Needs = BTreeMap<Vec<&'static str>, Vec<String>>;

/// Every identity of the active outputs with its policy, in the order of the file.
pub(super) fn identities(config: &Config) -> Vec<Identity> {
    let mut needs: Vec<(Who, Needs)> = Vec::new();
    for output in config.outputs.iter().filter(|output| output.active) {
        let credentials = Who::of_credentials(output);
        let user = match &output.assume_role {
            None => credentials,
            Some(role) => {
                add(&mut needs, credentials, vec!["sts:AssumeRole"], role.arn.clone());
                Who::Role(role.arn.clone())
            }
        };
        add(&mut needs, user, actions(output), stream_arn(output));
    }
    needs
        .into_iter()
        .map(|(who, needs)| Identity { identity: who.in_words(), policy: policy(needs) })
        .collect()
}

/// As it is printed: the policy alone where there is one identity, else all of them.
pub(super) fn document(identities: &[Identity]) -> Value {
    match identities {
        [only] => json!(only.policy),
        several => json!({ "identities": several }),
    }
}

/// Who calls AWS.
#[derive(Debug)]
enum Who {
    Role(String),
    /// The credentials of these outputs, which have them from the same place.
    Credentials {
        auth: Auth,
        outputs: Vec<String>,
    },
}

impl Who {
    fn of_credentials(output: &Output) -> Self {
        Self::Credentials { auth: output.auth.clone(), outputs: vec![output.id.clone()] }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Role(arn), Self::Role(other)) => arn == other,
            (Self::Credentials { auth, .. }, Self::Credentials { auth: other, .. }) => auth == other,
            _ => false,
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Role(arn) => format!("the role {arn}"),
            Self::Credentials { outputs, .. } => match outputs.as_slice() {
                [output] => format!("the credentials of output {output}"),
                outputs => format!("the credentials of outputs {}", outputs.join(", ")),
            },
        }
    }
}

fn add(needs: &mut Vec<(Who, Needs)>, who: Who, actions: Vec<&'static str>, resource: String) {
    let known = needs.iter_mut().find(|(known, _)| known.is(&who));
    let needs = match (known, who) {
        (Some((Who::Credentials { outputs, .. }, needs)), Who::Credentials { outputs: more, .. }) => {
            outputs.extend(more);
            needs
        }
        (Some((_, needs)), _) => needs,
        (None, who) => {
            needs.push((who, Needs::new()));
            let (_, last) = needs.last_mut().expect("one was just added");
            last
        }
    };
    let resources = needs.entry(actions).or_default();
    if !resources.contains(&resource) {
        resources.push(resource);
    }
}

fn policy(needs: Needs) -> Policy {
    let statement = |(action, resource)| Statement { effect: "Allow", action, resource };
    Policy { version: "2012-10-17", statement: needs.into_iter().map(statement).collect() }
}

/// What the output calls.
fn actions(output: &Output) -> Vec<&'static str> {
    let put = if puts_several(output) { "kinesis:PutRecords" } else { "kinesis:PutRecord" };
    let look = if output.use_list_shards { "kinesis:ListShards" } else { "kinesis:DescribeStream" };
    vec![put, look]
}

/// Whether the output puts with PutRecords; otherwise it puts with PutRecord.
pub(super) fn puts_several(output: &Output) -> bool {
    output.format == Format::Event || output.put_records_batching
}

/// The stream; in any account, where only the role could tell which.
fn stream_arn(output: &Output) -> String {
    let account = output.assume_role.as_ref().and_then(|role| account_of(&role.arn)).unwrap_or("*");
    let (region, name) = (&output.region, &output.stream_name);
    format!("arn:{}:kinesis:{region}:{account}:stream/{name}", partition_of(region))
}

/// Parts of AWS that know nothing of each other, by the begin of their regions' names.
fn partition_of(region: &str) -> &'static str {
    const PARTITIONS: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    PARTITIONS.iter().find(|(begin, _)| region.starts_with(begin)).map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, parse};

    fn document_of(outputs: &str) -> Value {
        let yaml = format!("inputs: {{ app: {{ type: stdin }} }}\noutputs:\n{outputs}");
        let (config, _) = parse(&yaml, "m.yaml", Path::new("/"), &Environment::default()).unwrap();
        document(&identities(&config))
    }

    fn allow(action: &[&str], resource: &[&str]) -> Value {
        json!({ "Effect": "Allow", "Action": action, "Resource": resource })
    }

    fn policy(statement: &[Value]) -> Value {
        json!({ "Version": "2012-10-17", "Statement": statement })
    }

    #[test]
    fn one_output() {
        let check = |settings: &str, action: [&str; 2], resource: &str| {
            let found = document_of(&format!("  main: {{ type: kinesis, stream_name: logs, {settings} }}\n"));
            assert_eq!(found, policy(&[allow(&action, &[resource])]), "{settings}");
        };
        let stream = "arn:aws:kinesis:eu-west-1:*:stream/logs";
        check("region: eu-west-1", ["kinesis:PutRecord", "kinesis:ListShards"], stream);
        check("region: eu-west-1, compression: none", ["kinesis:PutRecord", "kinesis:ListShards"], stream);
        check(
            "region: eu-west-1, compression: none, send_batched: false, use_list_shards: false",
            ["kinesis:PutRecords", "kinesis:DescribeStream"],
            stream,
        );
        check(
            "region: eu-west-1, put_records_batching: true",
            ["kinesis:PutRecords", "kinesis:ListShards"],
            stream,
        );
        for (region, partition) in
            [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("us-isob-east-1", "aws-iso-b")]
        {
            let stream = format!("arn:{partition}:kinesis:{region}:*:stream/logs");
            check(&format!("region: {region}"), ["kinesis:PutRecord", "kinesis:ListShards"], &stream);
        }
    }

    #[test]
    fn the_page_shows_what_is_printed() {
        let page =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/iam.md")).unwrap();
        let block =
            |kind: &str| page.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap();
        let (config, _) = parse(block("yaml"), "m.yaml", Path::new("/"), &Environment::default()).unwrap();
        let printed = serde_json::to_string_pretty(&document(&identities(&config))).unwrap();
        assert_eq!(block("json"), printed + "\n");
    }

    #[test]
    fn a_role_and_who_takes_it_on() {
        let role = "arn:aws:iam::111122223333:role/edge";
        let found = document_of(&format!(
            "  main: {{ type: kinesis, stream_name: logs, region: eu-west-1, assume_role: {{ enabled: true, arn: \"{role}\" }} }}\n"
        ));
        let expected = json!({ "identities": [
            { "identity": "the credentials of output main", "policy": policy(&[allow(&["sts:AssumeRole"], &[role])]) },
            { "identity": format!("the role {role}"), "policy": policy(&[allow(
                &["kinesis:PutRecord", "kinesis:ListShards"],
                &["arn:aws:kinesis:eu-west-1:111122223333:stream/logs"],
            )]) },
        ]});
        assert_eq!(found, expected);
    }

    #[test]
    fn outputs_of_one_identity_share_a_policy() {
        let found = document_of(
            "  a: { type: kinesis, stream_name: a, region: eu-west-1 }\n  \
               b: { type: kinesis, stream_name: b, region: eu-west-1 }\n  \
               c: { type: kinesis, stream_name: a, region: eu-west-1, compression: none, send_batched: false }\n  \
               off: { type: kinesis, stream_name: off, region: eu-west-1, environment: elsewhere }\n",
        );
        let arn = |name: &str| format!("arn:aws:kinesis:eu-west-1:*:stream/{name}");
        let expected = policy(&[
            allow(&["kinesis:PutRecord", "kinesis:ListShards"], &[&arn("a"), &arn("b")]),
            allow(&["kinesis:PutRecords", "kinesis:ListShards"], &[&arn("a")]),
        ]);
        assert_eq!(found, expected);
    }
}
