//! Variables of the environment (`env`).

use crate::{Surroundings, Vault};
use sdk::aws::Environment;
use sdk::{BoxFuture, Config};

struct Variables {
    environment: Environment,
    prefix: String,
}

pub fn open(config: Config, surroundings: &Surroundings) -> Result<Box<dyn Vault>, String> {
    let prefix = config.text("prefix").unwrap_or_default().to_owned();
    Ok(Box::new(Variables { environment: surroundings.environment.clone(), prefix }))
}

impl Vault for Variables {
    fn fetch<'a>(&'a self, resource: &'a str, version: Option<u64>) -> BoxFuture<'a, Result<Option<String>, String>> {
        let name = format!("{}{resource}", self.prefix).replace('-', "_").to_ascii_uppercase();
        let name = if version == Some(2) { format!("{name}_PREVIOUS") } else { name };
        let value = self.environment.get(&name).map(str::to_owned);
        Box::pin(std::future::ready(Ok(value)))
    }
}
