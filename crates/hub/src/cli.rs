//! The command line.

use clap::{Args, Parser, Subcommand};

use crate::client::options::{CallOptions, EmitOptions, ListenOptions, PromptOptions};

/// A Socket.IO hub: rooms and events between many clients, in any language; and a client on the command line
/// for any Socket.IO server.
#[derive(Debug, Parser)]
#[command(name = "roomful", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an open hub to try things out, with a playground to open in a browser.
    ///
    /// Every client may join every room and emit to the rooms that it is in, so listen only where
    /// everybody is trusted: the default address is reached from this machine alone.
    Dev(DevOptions),
    /// Connect to a Socket.IO server: print what comes, and send what is typed.
    Connect(Box<PromptOptions>),
    /// Send an event to a Socket.IO server, and end when it has read it.
    Emit(Box<EmitOptions>),
    /// Print the events that a Socket.IO server sends.
    Listen(Box<ListenOptions>),
    /// Send an event to a Socket.IO server, and print its answer.
    Call(Box<CallOptions>),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DevOptions {
    /// Address to listen at.
    #[arg(long, env = "ROOMFUL_HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// Port to listen at; 0 takes any that is free.
    #[arg(long, short, env = "ROOMFUL_PORT", default_value_t = 3000)]
    pub(crate) port: u16,

    /// Origin of web pages on other hosts that may connect, such as `https://example.org`; `*` allows
    /// all. May be given several times. Pages of the hub itself always may.
    #[arg(long = "origin", env = "ROOMFUL_ORIGINS", value_delimiter = ',')]
    pub(crate) origins: Vec<String>,

    /// Print one line of JSON instead of text when the hub is ready.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
