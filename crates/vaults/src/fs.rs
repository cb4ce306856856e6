//! Files below a directory (`fs`).

use crate::{Surroundings, Vault};
use sdk::{BoxFuture, Config, Tasks};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

struct Files {
    folder: PathBuf,
    tasks: Tasks,
}

pub fn open(config: Config, surroundings: &Surroundings) -> Result<Box<dyn Vault>, String> {
    let folder = config.text("prefix").ok_or("config.prefix: the directory is missing")?;
    Ok(Box::new(Files { folder: folder.into(), tasks: surroundings.env.tasks().clone() }))
}

impl Vault for Files {
    fn fetch<'a>(&'a self, resource: &'a str, _: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            let relative = Path::new(resource);
            if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err("the path leads out of the directory".to_owned());
            }
            let file = self.folder.join(relative);
            let read = self.tasks.blocking(move || std::fs::read_to_string(file)).await;
            match read.ok_or("the node ends")? {
                Ok(text) => Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}
