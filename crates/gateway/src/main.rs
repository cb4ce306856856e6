//! The program `bascule`: an API gateway and load balancer.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::run(&[])
}
