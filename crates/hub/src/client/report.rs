//! What is told of a connection on standard error.

use std::time::Instant;

use roomful_client::{Disconnection, Socket, Status, Transport};
use serde_json::json;

use super::style::Style;

pub(crate) fn connected(style: Style, socket: &Socket) -> String {
    let (namespace, recovered) = (socket.namespace(), socket.is_recovered());
    // Both are unknown of a socket that has gone again already.
    let (id, transport) = (socket.id(), socket.manager().transport());
    let transport = transport.map(|transport| match transport {
        Transport::WebSocket => "websocket",
        _ => "polling",
    });
    let as_id = id.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
    let by = transport.map(|transport| format!(" by {transport}")).unwrap_or_default();
    let again = if recovered { ", and nothing was missed" } else { "" };
    let json = json!({
        "status": "connected", "namespace": namespace, "id": id,
        "transport": transport, "recovered": recovered,
    });
    style.status(&format!("connected to {namespace}{as_id}{by}{again}"), &json)
}

pub(crate) fn disconnected(style: Style, namespace: &str, why: &Disconnection) -> String {
    let json =
        json!({ "status": "disconnected", "namespace": namespace, "reason": why.to_string() });
    style.status(&format!("disconnected from {namespace}: {why}"), &json)
}

/// That there is no connection, and when the next attempt is made. What fails for good is said by the command.
pub(crate) fn waiting(style: Style, namespace: &str, status: &Status) -> Option<String> {
    let Status::Waiting { attempt, until, error } = status else {
        return None;
    };
    let seconds = until.saturating_duration_since(Instant::now()).as_secs_f64();
    let json = json!({
        "status": "waiting", "namespace": namespace, "attempt": attempt,
        "error": error.to_string(),
    });
    let text = format!("no connection: {error}; attempt {attempt} in {seconds:.1} s");
    Some(style.status(&text, &json))
}
