//! Signatures as AWS' own clients make them, and the places of credentials.

use super::*;
use crate::testing::Server;
use crate::{Bytes, Env, HttpRequest, Url};
use jiff::{SignedDuration, Timestamp};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// The line that authorizes a request.
fn authorization(
    method: &str,
    url: &str,
    lines: &[(&str, &str)],
    content: &'static str,
    token: Option<&str>,
) -> String {
    let mut request = HttpRequest {
        method: method.to_owned(),
        url: Url::parse(url).unwrap(),
        fields: lines.iter().copied().collect(),
        content: Bytes::from_static(content.as_bytes()),
    };
    let user = Credentials::of_user("AKIDEXAMPLE", SECRET);
    let credentials = Credentials { session_token: token.map(str::to_owned), ..user };
    let signer = Signer { region: "us-east-1".to_owned(), service: "service".to_owned() };
    signer.sign(&mut request, &credentials, "2015-08-30T12:36:00Z".parse().unwrap());
    assert_eq!(request.fields.get_str("x-amz-date"), Some("20150830T123600Z"));
    assert_eq!(request.fields.get_str("x-amz-security-token"), token);
    request.fields.get_str("authorization").unwrap().to_owned()
}

fn expected(names: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, \
         Signature={signature}"
    )
}

/// From AWS' test suite.
#[test]
fn a_plain_request() {
    assert_eq!(
        authorization("GET", "https://example.amazonaws.com/", &[], "", None),
        expected("host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
    );
}

/// As botocore signs it. Fields that proxies change are left out.
#[test]
fn escapes_a_query_a_port_content_and_a_token() {
    let url = "https://example.amazonaws.com:8443/2015-03-31/functions/arn%3Aaws%3Alambda%3Af/x%20y/invocations\
               ?Qualifier=%24LATEST&B=2&A=1";
    let lines = [
        ("Content-Type", " application/json "),
        ("X-Amz-Invocation-Type", "RequestResponse"),
        ("User-Agent", "x"),
        ("Authorization", "Basic x"),
    ];
    assert_eq!(
        authorization("POST", url, &lines, "{\"a\":1}", Some("token/with+signs=")),
        expected(
            "content-type;host;x-amz-date;x-amz-invocation-type;x-amz-security-token",
            "cf17b9e8f0db51eae0076d386088a2f5862a241134e0940d7ff6e1bad6cffaec"
        )
    );
}

/// As botocore makes passwords for databases of RDS.
#[test]
fn a_url_proves_who_asks_for_it() {
    let signer = Signer { region: "us-east-1".to_owned(), service: "rds-db".to_owned() };
    let presigned = |port: u16, user: &str, token: Option<&str>| {
        let credentials =
            Credentials { session_token: token.map(str::to_owned), ..Credentials::of_user("akid", "skid") };
        let url = format!("https://prod-instance.us-east-1.rds.amazonaws.com:{port}/?Action=connect&DBUser={user}");
        let presigned = signer.presign(&url, &credentials, 900, "2016-11-07T17:39:33Z".parse().unwrap()).unwrap();
        presigned.strip_prefix(&url).unwrap().to_owned()
    };
    let usual = "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=akid%2F20161107%2Fus-east-1%2Frds-db%2Faws4_request\
                 &X-Amz-Date=20161107T173933Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host";
    assert_eq!(
        presigned(3306, "someusername", None),
        format!("{usual}&X-Amz-Signature=d1138cdbc0ca63eec012ec0fc6c2267e03642168f5884a7795320d4c18374c61")
    );
    assert_eq!(
        presigned(5432, "a%20b", Some("tok/en+=")),
        format!(
            "{usual}&X-Amz-Security-Token=tok%2Fen%2B%3D\
             &X-Amz-Signature=588905bef314c22dcfc2118cd0efdeb70779dd6a904a035674ae525cbf66178d"
        )
    );
}

fn provider(variables: &[(&str, &str)], settings: CredentialSettings) -> CredentialProvider {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    CredentialProvider::new(&Env::default(), variables.collect(), settings)
}

/// The next request, answered with that.
async fn reply(server: &Server, status: u16, content: &str) -> (String, String) {
    let mut peer = server.accept().await;
    let request = peer.request().await;
    let length = content.len();
    let answer = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{content}");
    peer.send(answer.as_bytes()).await;
    request
}

/// Credentials as machines are told them, valid for that many minutes.
fn told(id: &str, minutes: i64) -> String {
    let expires = Timestamp::now() + SignedDuration::from_mins(minutes);
    format!(r#"{{"AccessKeyId": "{id}", "SecretAccessKey": "s", "Token": "t", "Expiration": "{expires:.0}"}}"#)
}

#[tokio::test]
async fn the_environment_goes_first() {
    let variables = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "planted"), ("AWS_SESSION_TOKEN", "t")];
    let found = provider(&variables, CredentialSettings::default()).credentials().await.unwrap();
    assert_eq!(found.secret_access_key, "planted");
    assert_eq!(found.session_token.as_deref(), Some("t"));
    assert!(!format!("{found:?}").contains("planted"));
    let given = Some(Credentials::of_user("b", "c"));
    let settings = CredentialSettings { given, ..CredentialSettings::default() };
    assert_eq!(provider(&variables, settings).credentials().await.unwrap().access_key_id, "b");
}

#[tokio::test]
async fn a_profile_in_a_file() {
    let file = std::env::temp_dir().join(format!("credentials-{}", std::process::id()));
    let text = "[default]\naws_access_key_id = a\n[p]\naws_access_key_id = b\naws_secret_access_key = c\n";
    std::fs::write(&file, text).unwrap();
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()), ("AWS_PROFILE", "p")];
    let found = provider(&variables, CredentialSettings::default()).credentials().await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(found.unwrap(), Credentials::of_user("b", "c"));
}

#[tokio::test]
async fn a_container_is_asked_again_before_its_credentials_end() {
    let server = Server::start().await;
    let url = format!("http://{}/role", server.address());
    let variables =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "who")];
    let provider = provider(&variables, CredentialSettings::default());
    let asked = tokio::spawn({
        let provider = provider.clone();
        async move { provider.credentials().await }
    });
    let (head, _) = reply(&server, 200, &told("short", 1)).await;
    assert!(head.contains("authorization: who\r\n"), "{head}");
    assert_eq!(asked.await.unwrap().unwrap().access_key_id, "short");
    let asked = tokio::spawn({
        let provider = provider.clone();
        async move { provider.credentials().await }
    });
    reply(&server, 200, &told("long", 60)).await;
    assert_eq!(asked.await.unwrap().unwrap().access_key_id, "long");
    assert_eq!(provider.credentials().await.unwrap().access_key_id, "long");
}

#[tokio::test]
async fn a_machine_tells_its_role() {
    let server = Server::start().await;
    let base = format!("http://{}", server.address());
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", base.as_str())];
    let provider = provider(&variables, CredentialSettings::default());
    let asked = tokio::spawn(async move { provider.credentials().await });
    let (head, _) = reply(&server, 200, "session").await;
    assert!(head.starts_with("PUT /latest/api/token "), "{head}");
    let (head, _) = reply(&server, 200, "my-role").await;
    assert!(head.contains("x-aws-ec2-metadata-token: session\r\n"), "{head}");
    let (head, _) = reply(&server, 200, &told("m", 60)).await;
    assert!(head.starts_with("GET /latest/meta-data/iam/security-credentials/my-role "), "{head}");
    assert_eq!(asked.await.unwrap().unwrap().access_key_id, "m");
}

#[tokio::test]
async fn a_role_is_taken() {
    let server = Server::start().await;
    let role = AssumeRole {
        arn: "arn:aws:iam::1:role/r".to_owned(),
        session_name: "s".to_owned(),
        endpoint: Some(format!("http://{}", server.address())),
    };
    let given = Some(Credentials::of_user("a", SECRET));
    let settings = CredentialSettings { given, role: Some(role), ..CredentialSettings::default() };
    let refused = tokio::spawn({
        let provider = provider(&[], settings.clone());
        async move { provider.credentials().await }
    });
    reply(&server, 403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>").await;
    let refused = refused.await.unwrap().unwrap_err();
    assert_eq!(refused, "cannot take the role: status 403 AccessDenied");
    let provider = provider(&[], settings);
    let asked = tokio::spawn(async move { provider.credentials().await });
    let answer = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>r</AccessKeyId><SecretAccessKey>s\
                  </SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
                  </Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let (head, content) = reply(&server, 200, answer).await;
    assert!(head.contains("authorization: AWS4-HMAC-SHA256 Credential=a/"), "{head}");
    let asks = "Action=AssumeRole&Version=2011%2D06%2D15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=s";
    assert_eq!(content, asks);
    assert_eq!(asked.await.unwrap().unwrap().session_token.as_deref(), Some("t"));
}
