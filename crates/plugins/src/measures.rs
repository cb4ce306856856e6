//! What StatsD servers are told of a request, and the letters of their protocol.

use sdk::log::Latencies;
use sdk::{Config, Exchange};

/// A number that a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    RequestCount,
    RequestSize,
    ResponseSize,
    Latency,
    UpstreamLatency,
    KongLatency,
}

impl Measure {
    /// By the name that configurations have for it.
    pub fn parse(name: &str) -> Option<Measure> {
        Some(match name {
            "request_count" => Measure::RequestCount,
            "request_size" => Measure::RequestSize,
            "response_size" => Measure::ResponseSize,
            "latency" => Measure::Latency,
            "upstream_latency" => Measure::UpstreamLatency,
            "kong_latency" => Measure::KongLatency,
            _ => return None,
        })
    }

    /// What it is called on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Measure::RequestCount => "request.count",
            Measure::RequestSize => "request.size",
            Measure::ResponseSize => "response.size",
            Measure::Latency => "latency",
            Measure::UpstreamLatency => "upstream_latency",
            Measure::KongLatency => "kong_latency",
        }
    }

    /// What it comes to; `None` where no service was asked.
    pub fn of(self, exchange: &Exchange, latencies: &Latencies) -> Option<u64> {
        match self {
            Measure::RequestCount => Some(1),
            Measure::RequestSize => Some(exchange.traffic.received),
            Measure::ResponseSize => Some(exchange.traffic.sent),
            Measure::Latency => Some(latencies.request),
            Measure::UpstreamLatency => latencies.proxy,
            Measure::KongLatency => Some(latencies.kong),
        }
    }
}

/// The letters for a `stat_type`.
pub fn letters(stat_type: &str) -> Result<&'static str, String> {
    Ok(match stat_type {
        "counter" => "c",
        "gauge" => "g",
        "histogram" => "h",
        "meter" => "m",
        "set" => "s",
        "timer" => "ms",
        "distribution" => "d",
        other => return Err(format!("stat_type: unknown '{other}'")),
    })
}

/// What follows the letters for a `sample_rate`. As in Kong, the server is told and nothing is left out.
pub fn rate(metric: Config<'_>) -> String {
    match metric.number("sample_rate") {
        None | Some(1.0) => String::new(),
        Some(rate) => format!("|@{rate}"),
    }
}

/// A part of a metric's name: dots would begin another part.
pub fn part(name: &str) -> String {
    name.replace('.', "_")
}

/// How a consumer is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerName {
    Id,
    CustomId,
    Username,
}

impl ConsumerName {
    /// By `consumer_identifier`.
    pub fn parse(identifier: &str) -> Result<ConsumerName, String> {
        Ok(match identifier {
            "consumer_id" => ConsumerName::Id,
            "custom_id" => ConsumerName::CustomId,
            "username" => ConsumerName::Username,
            other => return Err(format!("consumer_identifier: unknown '{other}'")),
        })
    }

    /// The name of the consumer of a request, if it has one of that kind.
    pub fn of(self, exchange: &Exchange) -> Option<String> {
        let consumer = exchange.consumer.as_ref()?;
        match self {
            ConsumerName::Id => Some(exchange.shown_id(&consumer.id)),
            ConsumerName::CustomId => consumer.custom_id.clone(),
            ConsumerName::Username => consumer.username.clone(),
        }
    }
}
