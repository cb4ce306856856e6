//! A configured metric, and the line that it makes of a request.

use super::tags::TagStyle;
use crate::measures::{ConsumerName, Measure, letters, part, rate};
use sdk::log::{self, Latencies};
use sdk::{Config, Exchange, entities};

/// A metric with the names that it uses.
pub struct Metric {
    subject: Subject,
    /// Letters and rate; what counts is a counter, whatever the configuration says.
    kind: String,
    consumer: ConsumerName,
    service: ServiceName,
    /// The workspace is named, not numbered.
    names_workspace: bool,
}

/// What is counted or measured.
enum Subject {
    Measure(Measure),
    StatusCount,
    StatusCountPerUser,
    StatusCountPerUserPerRoute,
    StatusCountPerWorkspace,
    RequestPerUser,
    UniqueUsers,
    /// Kong's shared memory, which is not there.
    SharedDictionaries,
}

/// How a service is named.
#[derive(Clone, Copy)]
enum ServiceName {
    Id,
    Name,
    Host,
    NameOrHost,
}

impl Metric {
    /// Of an entry of `metrics`; `config` has the usual names.
    pub fn of(metric: Config<'_>, config: Config<'_>) -> Result<Metric, String> {
        let identifier = |field: &str, usual: &'static str| {
            metric.text(field).or(config.text(&format!("{field}_default"))).unwrap_or(usual)
        };
        let name = metric.text("name").unwrap_or_default();
        let subject = Subject::parse(name).ok_or_else(|| format!("config.metrics: unknown '{name}'"))?;
        let kind = match subject {
            Subject::Measure(_) => letters(metric.text("stat_type").unwrap_or_default())?.to_owned() + &rate(metric),
            Subject::UniqueUsers => "s".to_owned(),
            _ => format!("c{}", rate(metric)),
        };
        Ok(Metric {
            subject,
            kind,
            consumer: ConsumerName::parse(identifier("consumer_identifier", "custom_id"))?,
            service: ServiceName::parse(identifier("service_identifier", "service_name_or_host"))?,
            names_workspace: identifier("workspace_identifier", "workspace_id") == "workspace_name",
        })
    }

    /// Adds the line for a request, whose name says which service and caller it is about.
    pub fn write(&self, prefix: &str, exchange: &Exchange, latencies: &Latencies, lines: &mut String) {
        if let Some((name, value)) = self.named(exchange, latencies) {
            lines.extend([prefix, ".", &name, ":", &value, "|", &self.kind, "\n"]);
        }
    }

    /// Adds the line for a request, whose tags say what it is about; only measures have one.
    pub fn write_tagged(
        &self,
        style: TagStyle,
        prefix: &str,
        hostname: &str,
        exchange: &Exchange,
        latencies: &Latencies,
        lines: &mut String,
    ) {
        let Subject::Measure(measure) = self.subject else { return };
        let Some(value) = measure.of(exchange, latencies) else { return };
        let (name, value) = (format!("{prefix}.{}", measure.name()), format!("{value}|{}", self.kind));
        let service = exchange.service.as_deref().and_then(|service| self.service.of(service));
        match service {
            Some(service) => {
                let route = exchange.route.as_deref().map(|route| route.name.clone().unwrap_or(route.id.to_string()));
                let mut tags = vec![("service", service)];
                tags.extend(route.map(|route| ("route", route)));
                tags.extend(self.workspace(exchange).map(|workspace| ("workspace", workspace)));
                tags.extend(self.consumer.of(exchange).map(|consumer| ("consumer", consumer)));
                tags.push(("node", hostname.to_owned()));
                tags.push(("status", exchange.response.status.to_string()));
                lines.push_str(&style.line(&name, &value, &tags));
            }
            None => lines.extend([&name, ":", &value]),
        }
        lines.push('\n');
    }

    fn workspace(&self, exchange: &Exchange) -> Option<String> {
        let (id, name) = log::workspace(exchange);
        if self.names_workspace { name.map(str::to_owned) } else { Some(id.to_string()) }
    }

    /// Name and value of the metric of a request, if it has one.
    fn named(&self, exchange: &Exchange, latencies: &Latencies) -> Option<(String, String)> {
        let scope = match exchange.service.as_deref() {
            Some(service) => {
                format!("service.{}", self.service.of(service).as_deref().map_or("unnamed".to_owned(), part))
            }
            None => "global.unmatched".to_owned(),
        };
        let status = exchange.response.status;
        let consumer = || self.consumer.of(exchange);
        let name = match self.subject {
            Subject::Measure(measure) => {
                let value = measure.of(exchange, latencies)?;
                return Some((format!("{scope}.{}", measure.name()), value.to_string()));
            }
            Subject::UniqueUsers => return Some((format!("{scope}.user.uniques"), consumer()?)),
            Subject::StatusCount => format!("{scope}.status.{status}"),
            Subject::StatusCountPerUser => format!("{scope}.user.{}.status.{status}", consumer()?),
            Subject::StatusCountPerUserPerRoute => {
                format!("route.{}.user.{}.status.{status}", exchange.route.as_ref()?.id, consumer()?)
            }
            Subject::StatusCountPerWorkspace => {
                format!("{scope}.workspace.{}.status.{status}", self.workspace(exchange)?)
            }
            Subject::RequestPerUser => format!("{scope}.user.{}.request.count", consumer()?),
            Subject::SharedDictionaries => return None,
        };
        Some((name, "1".to_owned()))
    }
}

impl Subject {
    fn parse(name: &str) -> Option<Subject> {
        Some(match name {
            "status_count" => Subject::StatusCount,
            "status_count_per_user" => Subject::StatusCountPerUser,
            "status_count_per_user_per_route" => Subject::StatusCountPerUserPerRoute,
            "status_count_per_workspace" => Subject::StatusCountPerWorkspace,
            "request_per_user" => Subject::RequestPerUser,
            "unique_users" => Subject::UniqueUsers,
            "shdict_usage" => Subject::SharedDictionaries,
            other => Subject::Measure(Measure::parse(other)?),
        })
    }
}

impl ServiceName {
    fn parse(identifier: &str) -> Result<ServiceName, String> {
        Ok(match identifier {
            "service_id" => ServiceName::Id,
            "service_name" => ServiceName::Name,
            "service_host" => ServiceName::Host,
            "service_name_or_host" => ServiceName::NameOrHost,
            other => return Err(format!("service_identifier: unknown '{other}'")),
        })
    }

    fn of(self, service: &entities::Service) -> Option<String> {
        match self {
            ServiceName::Id => Some(service.id.to_string()),
            ServiceName::Name => service.name.clone(),
            ServiceName::Host => Some(service.host.to_string()),
            ServiceName::NameOrHost => Some(service.name.clone().unwrap_or_else(|| service.host.to_string())),
        }
    }
}
