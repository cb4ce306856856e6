//! How serious responses are to loggers that speak syslog.

use sdk::Config;

/// The severities of an instance; 0 is the most serious, 7 the least.
pub struct Severities {
    /// What is less serious is not logged.
    log_level: u8,
    successful: u8,
    client_errors: u8,
    server_errors: u8,
}

/// From 0 on.
const NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const INFO: u8 = 6;

impl Severities {
    /// As configured.
    pub fn of(config: Config<'_>) -> Severities {
        let severity = |field: &str| {
            let name = config.text(field).unwrap_or_default();
            NAMES.iter().position(|known| *known == name).map_or(INFO, |at| at as u8)
        };
        Severities {
            log_level: severity("log_level"),
            successful: severity("successful_severity"),
            client_errors: severity("client_errors_severity"),
            server_errors: severity("server_errors_severity"),
        }
    }

    /// The severity of a response with that status; `None`: it is not logged.
    pub fn of_status(&self, status: u16) -> Option<u8> {
        let severity = match status {
            500.. => self.server_errors,
            400.. => self.client_errors,
            _ => self.successful,
        };
        (severity <= self.log_level).then_some(severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn severities_go_by_the_class_of_the_status() {
        let config = json!({
            "log_level": "warning", "successful_severity": "debug", "client_errors_severity": "warning",
            "server_errors_severity": "crit"
        });
        let severities = Severities::of(Config::new(config.as_object().unwrap()));
        assert_eq!(severities.of_status(200), None);
        assert_eq!(severities.of_status(404), Some(4));
        assert_eq!(severities.of_status(503), Some(2));
        let usual = Severities::of(Config::new(json!({}).as_object().unwrap()));
        assert_eq!(usual.of_status(200), Some(6));
    }
}
