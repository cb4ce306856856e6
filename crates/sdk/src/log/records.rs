//! Records in log entries: complete, without what is not set.

use super::writer::Writer;
use crate::Exchange;
use model::entities::{Address, Consumer, PathHandling, Protocol, Route, Service};
use std::time::Duration;

pub fn route(route: &Route, out: &mut Writer) {
    out.object(|out| {
        out.id("id", &route.id);
        out.optional_text("name", route.name.as_deref());
        out.number("created_at", route.created_at);
        out.number("updated_at", route.updated_at);
        let protocols = Protocol::ALL.iter().filter(|protocol| route.protocols.contains(**protocol));
        out.texts("protocols", &protocols.map(|protocol| protocol.as_str().to_owned()).collect::<Vec<_>>());
        out.texts("methods", &route.methods);
        out.texts("hosts", &route.hosts);
        out.texts("paths", &route.paths);
        if !route.headers.is_empty() {
            out.member("headers", |out| {
                out.object(|out| route.headers.iter().for_each(|(name, values)| out.texts(name, values)));
            });
        }
        out.texts("snis", &route.snis);
        addresses("sources", &route.sources, out);
        addresses("destinations", &route.destinations, out);
        match &route.expression {
            Some(expression) => {
                out.text("expression", expression.as_bytes());
                out.number("priority", route.priority);
            }
            None => {
                out.number("regex_priority", route.regex_priority);
                let handling: &[u8] = if route.path_handling == PathHandling::V1 { b"v1" } else { b"v0" };
                out.text("path_handling", handling);
            }
        }
        out.flag("strip_path", route.strip_path);
        out.flag("preserve_host", route.preserve_host);
        out.number("https_redirect_status_code", route.https_redirect_status_code);
        out.flag("request_buffering", route.request_buffering);
        out.flag("response_buffering", route.response_buffering);
        out.texts("tags", &route.tags);
        out.reference("service", route.service.as_ref());
        out.id("ws_id", &route.workspace);
    });
}

pub fn service(service: &Service, out: &mut Writer) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    out.object(|out| {
        out.id("id", &service.id);
        out.optional_text("name", service.name.as_deref());
        out.number("created_at", service.created_at);
        out.number("updated_at", service.updated_at);
        out.text("protocol", service.protocol.as_str().as_bytes());
        out.text("host", service.host.as_bytes());
        out.number("port", service.port);
        out.optional_text("path", service.path.as_deref());
        out.number("retries", service.retries);
        out.number("connect_timeout", millis(service.connect_timeout));
        out.number("write_timeout", millis(service.write_timeout));
        out.number("read_timeout", millis(service.read_timeout));
        out.flag("enabled", service.enabled);
        out.texts("tags", &service.tags);
        out.reference("client_certificate", service.client_certificate.as_ref());
        service.tls_verify.iter().for_each(|verify| out.flag("tls_verify", *verify));
        service.tls_verify_depth.iter().for_each(|depth| out.number("tls_verify_depth", *depth));
        let authorities: Vec<String> = service.ca_certificates.iter().map(ToString::to_string).collect();
        out.texts("ca_certificates", &authorities);
        out.id("ws_id", &service.workspace);
    });
}

pub fn consumer(exchange: &Exchange, consumer: &Consumer, out: &mut Writer) {
    out.object(|out| {
        out.caller("id", exchange, &consumer.id);
        out.optional_text("username", consumer.username.as_deref());
        out.optional_text("custom_id", consumer.custom_id.as_deref());
        out.number("created_at", consumer.created_at);
        out.number("updated_at", consumer.updated_at);
        out.texts("tags", &consumer.tags);
    });
}

fn addresses(name: &str, addresses: &[Address], out: &mut Writer) {
    if addresses.is_empty() {
        return;
    }
    out.member(name, |out| {
        out.list(|out| {
            for address in addresses {
                out.item(|out| {
                    out.object(|out| {
                        out.optional_text("ip", address.ip.as_deref());
                        address.port.iter().for_each(|port| out.number("port", *port));
                    });
                });
            }
        });
    });
}
