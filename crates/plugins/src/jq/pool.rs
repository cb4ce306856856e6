//! The node's runners: processes of this program that run programs of jq, started when they are needed.

use super::printer::Style;
use super::runner::{AnswerHead, JobHead, MOST_OUTPUT, READY, TIME};
use sdk::Bytes;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The runners of a node.
pub struct Pool {
    idle: Mutex<Vec<Runner>>,
    turns: Semaphore,
}

/// What a program makes of content.
#[derive(Debug)]
pub enum Filtered {
    /// This takes its place.
    Content(Vec<u8>),
    /// The content stays as it is: it is no JSON, or nothing came of it.
    Nothing,
}

/// A filter and content for it.
pub struct Job {
    pub program: Arc<str>,
    pub style: Style,
    pub content: Bytes,
}

struct Runner {
    /// Taken when it is dropped.
    process: Option<Child>,
    socket: UnixStream,
}

/// The most runners; fewer on machines with fewer processors.
const MOST: usize = 4;
/// How long a request may wait for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long a runner may take to start.
const START: Duration = Duration::from_secs(10);
/// What takes that much longer than a program may run does not answer at all.
const GRACE: Duration = Duration::from_secs(1);

impl Default for Pool {
    fn default() -> Pool {
        let most = thread::available_parallelism().map_or(1, usize::from).min(MOST);
        Pool { idle: Mutex::default(), turns: Semaphore::new(most) }
    }
}

impl Pool {
    /// What becomes of the content; an error, in words for the log, when nobody knows. Runs on the control runtime.
    pub async fn filter(&self, job: Job) -> Result<Filtered, String> {
        let turn = timeout(TURN, self.turns.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or("all runners are busy with other programs")?;
        let failed = |error: io::Error| format!("no runner can be started: {error}");
        let mut runner = match self.take() {
            Some(runner) => runner,
            None => timeout(START, Runner::start()).await.map_err(|_| "a runner does not start")?.map_err(failed)?,
        };
        // A runner that is not given back ends, with all that it has.
        let outcome = match timeout(TIME + GRACE, runner.ask(&job)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                return Err(format!("the program took more time or memory than there is for one: {error}"));
            }
            Err(_) => return Err("the program took more time than there is for one".to_owned()),
        };
        self.give(runner);
        outcome
    }

    /// A runner that has nothing to do, if one still runs.
    fn take(&self) -> Option<Runner> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find_map(|mut runner| runner.runs().then_some(runner))
    }

    fn give(&self, runner: Runner) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(runner);
    }
}

impl Runner {
    async fn start() -> io::Result<Runner> {
        let (own, its) = StdStream::pair()?;
        own.set_nonblocking(true)?;
        // This program, even where another one has taken its place in the file system. It knows none of the node's
        // secrets, and the terminal's signals are not for it.
        let process = Command::new("/proc/self/exe")
            .arg(super::COMMAND)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut runner = Runner { process: Some(process), socket: UnixStream::from_std(own)? };
        match runner.socket.read_u8().await? {
            READY => Ok(runner),
            _ => Err(io::Error::other("it is something else")),
        }
    }

    fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// The inner error is one after which the runner goes on.
    async fn ask(&mut self, job: &Job) -> io::Result<Result<Filtered, String>> {
        let length = |octets: &[u8]| u32::try_from(octets.len()).map_err(io::Error::other);
        let (program, content) = (job.program.as_bytes(), &job.content[..]);
        let head = JobHead { style: job.style, program: length(program)?, content: length(content)? };
        self.socket.write_all(&head.write()).await?;
        self.socket.write_all(program).await?;
        self.socket.write_all(content).await?;
        let mut head = [0; AnswerHead::SIZE];
        self.socket.read_exact(&mut head).await?;
        let head = AnswerHead::read(head);
        Ok(match head.kind {
            AnswerHead::OUTPUT if head.output == 0 => Ok(Filtered::Nothing),
            AnswerHead::OUTPUT if head.output as usize <= MOST_OUTPUT => {
                let mut output = vec![0; head.output as usize];
                self.socket.read_exact(&mut output).await?;
                Ok(Filtered::Content(output))
            }
            AnswerHead::NOT_JSON => Ok(Filtered::Nothing),
            AnswerHead::TOO_LARGE => Err("the program has put out more than may be".to_owned()),
            AnswerHead::NO_PROGRAM => Err("the program cannot be compiled".to_owned()),
            _ => return Err(io::Error::other("it has answered something else")),
        })
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // It may have ended already.
        let _ = process.kill();
        // Giving back its memory may take a while. Without a thread its number stays taken until the node ends.
        let _ = thread::Builder::new().name("jq-end".to_owned()).spawn(move || process.wait());
    }
}
