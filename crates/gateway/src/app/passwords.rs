//! Passwords for the database that end: tokens of AWS' IAM, and what a command prints.

use super::certificates;
use crate::settings::Settings;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use sdk::aws::{AssumeRole, CredentialProvider, CredentialSettings, Environment, Signer};
use sdk::{BoxFuture, Env};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::backend::postgres::PasswordSource;
use tokio::sync::Mutex;

/// A source of passwords, and the last one that it gave.
pub struct Passwords {
    source: Source,
    last: Mutex<Option<Last>>,
}

enum Source {
    Iam { signer: Signer, url: String, credentials: CredentialProvider },
    Command(String),
}

struct Last {
    password: Result<String, String>,
    at: Instant,
}

/// A command that runs, with all that it has started.
struct Group(Option<Pid>);

/// Tokens of IAM are valid for that long, in seconds.
const VALID: u32 = 900;
/// How long a password is used for new connections.
const KEPT: Duration = Duration::from_secs(300);
/// How long nothing is asked again after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// Octets that a command may print.
const LONGEST: u64 = 64 << 10;
/// How long a new one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tokens for a database of RDS. `key` gives the names of settings.
pub fn of_iam(
    settings: &Settings,
    (host, port): (&str, u16),
    user: &str,
    key: &dyn Fn(&str) -> String,
) -> Result<Passwords, String> {
    let setting = key("iam_auth");
    if host.contains([',', '/']) {
        return Err(format!("{setting}: a token is for one host with a name, and {} is another", key("host")));
    }
    let environment = Environment::of_process();
    let region = environment.region().or_else(|| region_in(host));
    let region = region.ok_or_else(|| format!("{setting}: AWS_REGION is not set"))?.to_owned();
    let text = |name: &str| Some(settings.text(&key(name)).to_owned()).filter(|text| !text.is_empty());
    let role = text("iam_auth_assume_role_arn").map(|arn| AssumeRole {
        arn,
        session_name: text("iam_auth_role_session_name").unwrap_or_default(),
        endpoint: text("iam_auth_sts_endpoint_url"),
    });
    let wanted = CredentialSettings { region: Some(region.clone()), role, ..CredentialSettings::default() };
    let env = Env::default().with_network(certificates::network(certificates::trusted_roots(settings)?)?);
    let user = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
    Ok(Passwords::new(Source::Iam {
        signer: Signer { region, service: "rds-db".to_owned() },
        url: format!("https://{host}:{port}/?Action=connect&DBUser={user}"),
        credentials: CredentialProvider::new(&env, environment, wanted),
    }))
}

/// What a command prints.
pub fn of_command(command: &str) -> Passwords {
    Passwords::new(Source::Command(command.to_owned()))
}

impl Passwords {
    fn new(source: Source) -> Passwords {
        Passwords { source, last: Mutex::default() }
    }

    /// Who asks while a new one is made waits for it.
    async fn current(&self) -> Result<String, String> {
        let mut last = self.last.lock().await;
        let fresh = |last: &Last| last.at.elapsed() < if last.password.is_ok() { KEPT } else { AGAIN };
        if let Some(last) = last.as_ref().filter(|last| fresh(last)) {
            return last.password.clone();
        }
        let made = tokio::time::timeout(PATIENCE, self.source.ask()).await;
        let password = made.unwrap_or_else(|_| Err(format!("none within {} seconds", PATIENCE.as_secs())));
        let password = password.map_err(|why| format!("there is no password: {why}"));
        *last = Some(Last { password: password.clone(), at: Instant::now() });
        password
    }
}

impl PasswordSource for Passwords {
    fn password(&self) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(self.current())
    }
}

impl Source {
    async fn ask(&self) -> Result<String, String> {
        match self {
            Source::Iam { signer, url, credentials } => {
                let token = signer.presign(url, &credentials.credentials().await?, VALID, Timestamp::now())?;
                Ok(token.trim_start_matches("https://").to_owned())
            }
            Source::Command(command) => run(command).await,
        }
    }
}

/// What the command says of a failure goes where the node's own messages go. Whoever waits no longer ends it.
async fn run(command: &str) -> Result<String, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = shell.spawn().map_err(|error| format!("the command cannot be run: {error}"))?;
    let mut group = Group(Some(Pid::from_child(&child)));
    let ended = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        let read = match child.stdout.take() {
            Some(output) => output.take(LONGEST).read_to_string(&mut text).map(drop),
            None => Ok(()),
        };
        (child.wait(), read, text)
    });
    let (status, read, text) = ended.await.map_err(|error| error.to_string())?;
    group.0 = None;
    let status = status.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("the command has ended with {status}"));
    }
    read.map_err(|_| "the command prints no text")?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("the command prints nothing".to_owned()),
        password => Ok(password.to_owned()),
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The region in the name of a database of RDS.
fn region_in(host: &str) -> Option<&str> {
    let name = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".rds.amazonaws.com")?;
    name.rsplit('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_databases_have_regions() {
        assert_eq!(region_in("db.c9.eu-west-1.rds.amazonaws.com"), Some("eu-west-1"));
        assert_eq!(region_in("db.c9.cn-north-1.rds.amazonaws.com.cn"), Some("cn-north-1"));
        assert_eq!(region_in("db.test"), None);
    }

    #[tokio::test]
    async fn a_command_is_not_run_for_each_connection() {
        let directory = tempfile::tempdir().unwrap();
        let runs = directory.path().join("runs");
        let passwords = of_command(&format!("echo >>{0}; wc -l <{0}", runs.display()));
        assert_eq!(passwords.password().await, Ok("1".to_owned()));
        assert_eq!(passwords.password().await, Ok("1".to_owned()));
    }

    #[tokio::test]
    async fn a_command_that_fails_is_no_password() {
        let why = of_command("echo secret; exit 3").password().await.unwrap_err();
        assert_eq!(why, "there is no password: the command has ended with exit status: 3");
        assert!(of_command("true").password().await.is_err());
    }
}
