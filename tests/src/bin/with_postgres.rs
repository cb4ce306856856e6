//! `with_postgres COMMAND ...`: runs a command with a Postgres server of its own. The command's environment says where
//! it is, in the names of settings (`KONG_PG_HOST`).

use blackbox::Postgres;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with_postgres COMMAND ...");
        return ExitCode::FAILURE;
    };
    let postgres = Postgres::start(&[]);
    let mut command = Command::new(program);
    for (name, value) in postgres.database() {
        command.env(format!("KONG_{}", name.to_uppercase()), value);
    }
    match command.args(arguments).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("with_postgres: {error}");
            ExitCode::FAILURE
        }
    }
}
