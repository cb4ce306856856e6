//! Passwords that end.

use crate::setup::{bootstrapped, look, looked, migration, with};
use blackbox::tls::Pair;
use blackbox::{Postgres, Scripted};

#[test]
fn a_command_prints_the_password() {
    let postgres = Postgres::start_on_network("host all all 127.0.0.0/8 scram-sha-256", None);
    let settings = with(&bootstrapped(&postgres, &[]), &[("pg_host", &postgres.address())]);
    postgres.sql("postgres", "ALTER USER kong PASSWORD 'planted-secret'");
    look(&with(&settings, &[("pg_password_command", "echo planted-$(echo secret)")])).unwrap();
    let refused = look(&with(&settings, &[("pg_password_command", "echo planted-other")])).unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    assert!(!refused.contains("planted"), "{refused}");
    let refused = look(&with(&settings, &[("pg_password_command", "echo planted-secret; exit 1")])).unwrap_err();
    assert!(refused.contains("there is no password: the command has ended with exit status: 1"), "{refused}");
    assert!(!refused.contains("planted"), "{refused}");
}

/// The token itself is compared with one that AWS' own client has made, elsewhere.
#[test]
fn tokens_of_iam_are_made_with_the_role() {
    let authority = Pair::authority("the authority");
    // The server takes any password, over TLS.
    let postgres = Postgres::start_on_network("hostssl all all 127.0.0.0/8 trust", Some(&authority));
    let end = "2099-01-01T00:00:00Z";
    let answer = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>\
         <SecretAccessKey>planted-secret</SecretAccessKey><SessionToken>planted-token</SessionToken>\
         <Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    let tokens = Scripted::answering("text/xml", answer.as_bytes());
    let url = format!("http://{}/", tokens.address);
    let iam = [
        ("pg_host", postgres.address()),
        ("pg_iam_auth", "on".to_owned()),
        ("pg_iam_auth_assume_role_arn", "arn:aws:iam::1:role/db".to_owned()),
        ("pg_iam_auth_sts_endpoint_url", url),
    ];
    let iam = iam.each_ref().map(|(name, value)| (*name, value.as_str()));
    let settings = with(&bootstrapped(&postgres, &[]), &iam);
    let look = |settings: &[(String, String)], region: Option<&str>| {
        let mut command = migration(settings, &["list"]);
        command.env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION").env_remove("AWS_SESSION_TOKEN");
        command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "planted-secret");
        command.envs(region.map(|region| ("AWS_REGION", region)));
        looked(command.output().expect("the program can be run"))
    };
    look(&settings, Some("eu-west-1")).unwrap();
    let asked = tokens.last();
    let form = String::from_utf8(asked.body.clone()).unwrap();
    assert!(form.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fdb&RoleSessionName=KongPostgres"), "{form}");
    let scope = "/eu-west-1/sts/aws4_request";
    let signed = asked.header("Authorization").unwrap();
    assert!(signed.contains("Credential=AKIDEXAMPLE/") && signed.contains(scope), "{signed}");
    let refused = look(&settings, None).unwrap_err();
    assert!(refused.contains("pg_iam_auth: AWS_REGION is not set"), "{refused}");
    let refused = look(&with(&settings, &[("pg_host", "a.test,b.test")]), Some("eu-west-1")).unwrap_err();
    assert!(refused.contains("pg_iam_auth: a token is for one host"), "{refused}");
}

#[test]
fn without_credentials_there_is_no_token() {
    let postgres = Postgres::shared();
    let denied = Scripted::start("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let url = format!("http://{}/", denied.address);
    let iam = [
        ("pg_host", "localhost"),
        ("pg_iam_auth", "on"),
        ("pg_iam_auth_assume_role_arn", "arn"),
        ("pg_iam_auth_sts_endpoint_url", &url),
    ];
    let mut command = migration(&with(&postgres.database(), &iam), &["list"]);
    command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "planted-secret");
    let refused = looked(command.env("AWS_REGION", "r").output().expect("the program can be run")).unwrap_err();
    assert!(refused.contains("there is no password: cannot take the role: status 403"), "{refused}");
    assert!(!refused.contains("planted"), "{refused}");
}
