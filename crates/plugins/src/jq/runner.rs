//! The process that runs programs of jq: what one takes, ends with it. Its standard input is a socket, by which it gets
//! one job after the other, and answers each.

use super::printer::Style;
use super::program::{Outcome, Program};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long a program may run. The node does not wait for longer; a runner whose node has gone ends by itself.
pub const TIME: Duration = Duration::from_secs(5);

/// How much memory a runner may have, its stack included.
const MEMORY: u64 = 320 << 20;

/// The stack on which programs run; what needs more ends with its runner.
const STACK: usize = 64 << 20;

/// How much text may come out of a program.
pub const MOST_OUTPUT: usize = 64 << 20;

/// Programs that are kept compiled.
const KEPT: usize = 64;

/// The first octet that a runner sends.
pub const READY: u8 = b'r';

/// What is to be done with content: written as the head below, the program, the content.
#[derive(Clone, Copy)]
pub struct JobHead {
    pub style: Style,
    pub program: u32,
    pub content: u32,
}

/// What a job has come to: one octet and the length of the output, which follows.
#[derive(Clone, Copy)]
pub struct AnswerHead {
    pub kind: u8,
    pub output: u32,
}

/// Runs until the node closes the socket.
pub fn serve() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    limit(Resource::Data, MEMORY)?;
    limit(Resource::Core, 0)?;
    let (steps, watched) = mpsc::channel();
    thread::Builder::new().spawn(move || watch(&watched))?;
    let work = thread::Builder::new().stack_size(STACK).spawn(move || work(socket, &steps))?;
    work.join().unwrap_or_else(|_| Err(io::Error::other("a program has panicked")))
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Ends the process when there is more than [`TIME`] between the beginning of a job and its end.
fn watch(steps: &Receiver<()>) {
    while steps.recv().is_ok() {
        if steps.recv_timeout(TIME) == Err(RecvTimeoutError::Timeout) {
            process::abort();
        }
    }
}

fn work(mut socket: UnixStream, steps: &Sender<()>) -> io::Result<()> {
    let mut programs: Vec<(Vec<u8>, Option<Program>)> = Vec::new();
    socket.write_all(&[READY])?;
    let mut head = [0; JobHead::SIZE];
    loop {
        match socket.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let head = JobHead::read(head);
        let (mut program, mut content) = (vec![0; head.program as usize], vec![0; head.content as usize]);
        socket.read_exact(&mut program)?;
        socket.read_exact(&mut content)?;
        let step = || steps.send(()).map_err(io::Error::other);
        step()?;
        let outcome = find(&mut programs, program).map(|program| program.run(&content, head.style, MOST_OUTPUT));
        step()?;
        let (kind, output) = match outcome {
            Some(Outcome::Output(output)) => (AnswerHead::OUTPUT, output),
            Some(Outcome::NotJson) => (AnswerHead::NOT_JSON, Vec::new()),
            Some(Outcome::TooLarge) => (AnswerHead::TOO_LARGE, Vec::new()),
            None => (AnswerHead::NO_PROGRAM, Vec::new()),
        };
        socket.write_all(&AnswerHead { kind, output: output.len() as u32 }.write())?;
        socket.write_all(&output)?;
    }
}

/// The compiled program, which was perhaps used before.
fn find(programs: &mut Vec<(Vec<u8>, Option<Program>)>, text: Vec<u8>) -> Option<&Program> {
    let at = programs.iter().position(|(known, _)| *known == text).unwrap_or_else(|| {
        if programs.len() == KEPT {
            programs.remove(0);
        }
        let program = std::str::from_utf8(&text).ok().and_then(|text| Program::compile(text).ok());
        programs.push((text, program));
        programs.len() - 1
    });
    programs[at].1.as_ref()
}

impl JobHead {
    pub const SIZE: usize = 9;

    pub fn write(self) -> [u8; JobHead::SIZE] {
        let Style { compact, raw, join, ascii, sorted } = self.style;
        let flags = [compact, raw, join, ascii, sorted];
        let mut octets = [0; JobHead::SIZE];
        octets[0] = flags.iter().rev().fold(0, |all, flag| all << 1 | u8::from(*flag));
        octets[1..5].copy_from_slice(&self.program.to_be_bytes());
        octets[5..].copy_from_slice(&self.content.to_be_bytes());
        octets
    }

    fn read([flags, p0, p1, p2, p3, c0, c1, c2, c3]: [u8; JobHead::SIZE]) -> JobHead {
        let has = |at: u8| flags >> at & 1 == 1;
        let style = Style { compact: has(0), raw: has(1), join: has(2), ascii: has(3), sorted: has(4) };
        let program = u32::from_be_bytes([p0, p1, p2, p3]);
        JobHead { style, program, content: u32::from_be_bytes([c0, c1, c2, c3]) }
    }
}

impl AnswerHead {
    pub const SIZE: usize = 5;
    pub const OUTPUT: u8 = 0;
    pub const NOT_JSON: u8 = 1;
    pub const TOO_LARGE: u8 = 2;
    pub const NO_PROGRAM: u8 = 3;

    fn write(self) -> [u8; AnswerHead::SIZE] {
        let [a, b, c, d] = self.output.to_be_bytes();
        [self.kind, a, b, c, d]
    }

    pub fn read([kind, a, b, c, d]: [u8; AnswerHead::SIZE]) -> AnswerHead {
        AnswerHead { kind, output: u32::from_be_bytes([a, b, c, d]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { compact: true, raw: false, join: true, ascii: false, sorted: true };

    #[test]
    fn heads_are_read_as_they_were_written() {
        let head = JobHead::read(JobHead { style: STYLE, program: 70_000, content: 3 }.write());
        assert_eq!(head.style, STYLE);
        assert_eq!(head.program, 70_000);
        assert_eq!(head.content, 3);
        let head = AnswerHead::read(AnswerHead { kind: AnswerHead::TOO_LARGE, output: 1 << 20 }.write());
        assert_eq!(head.kind, AnswerHead::TOO_LARGE);
        assert_eq!(head.output, 1 << 20);
    }

    #[test]
    fn jobs_are_answered_until_the_end() {
        let (mut node, runner) = UnixStream::pair().unwrap();
        let (steps, watched) = mpsc::channel();
        let working = thread::spawn(move || work(runner, &steps));
        let mut ready = [0];
        node.read_exact(&mut ready).unwrap();
        assert_eq!(ready, [READY]);
        let mut ask = |program: &[u8], content: &[u8]| {
            let head = JobHead { style: STYLE, program: program.len() as u32, content: content.len() as u32 };
            node.write_all(&[&head.write()[..], program, content].concat()).unwrap();
            let mut head = [0; AnswerHead::SIZE];
            node.read_exact(&mut head).unwrap();
            let AnswerHead { kind, output } = AnswerHead::read(head);
            let mut text = vec![0; output as usize];
            node.read_exact(&mut text).unwrap();
            (kind, String::from_utf8(text).unwrap())
        };
        assert_eq!(ask(b".a", b"{\"a\":\"x\"}"), (AnswerHead::OUTPUT, "x".to_owned()));
        assert_eq!(ask(b".a", b"{"), (AnswerHead::NOT_JSON, String::new()));
        assert_eq!(ask(b".a |", b"{}"), (AnswerHead::NO_PROGRAM, String::new()));
        drop(node);
        assert!(working.join().unwrap().is_ok());
        assert_eq!(watched.iter().count(), 6);
    }
}
