//! Idle connections over streams in memory: as many as no machine has sockets for.
//!
//! Server and clients are one process, which is this program once more. So the memory of the
//! clients, of which each is no more than its stream, is measured by itself and taken off.

use std::process::Stdio;

use super::{Case, Figure, Scale};
use crate::in_memory::Cost;
use crate::servers::{Contestant, ROOMFUL, Server};
use crate::spread::number;
use crate::{Result, fail, process};

pub(crate) struct InMemory {
    pub(crate) connections: usize,
}

impl Case for InMemory {
    fn name(&self) -> String {
        format!("in-memory-{}", self.connections)
    }

    fn title(&self) -> String {
        format!("{} idle connections over streams in memory", number(self.connections as f64))
    }

    fn unit(&self) -> &'static str {
        "KiB resident per connection, without its stream"
    }

    fn is_short(&self) -> bool {
        false
    }

    /// Only Roomful runs over any stream, and in this program.
    fn takes(&self, server: &Contestant) -> bool {
        server.name == ROOMFUL
    }

    fn run(&self, _: &Server, _: &Scale) -> Result<Vec<Figure>> {
        let streams = self.measure(&["--streams"])?;
        let all = self.measure(&[])?;
        Ok(vec![
            ("kib", all.kib - streams.kib),
            ("kib_with_stream", all.kib),
            ("kib_stream", streams.kib),
            ("cpu_ns_per_second", all.cpu_ns_per_second - streams.cpu_ns_per_second),
            ("cpu_ns_per_second_client", streams.cpu_ns_per_second),
        ])
    }
}

impl InMemory {
    /// In a process of its own, which has used no memory before.
    fn measure(&self, options: &[&str]) -> Result<Cost> {
        let program = std::env::current_exe()?;
        let output = process::on_cpus(self.cpus(), &program.to_string_lossy())
            .args(["in-memory", &self.connections.to_string()])
            .args(options)
            .stderr(Stdio::piped())
            .output()?;
        if !output.status.success() {
            return fail(String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
