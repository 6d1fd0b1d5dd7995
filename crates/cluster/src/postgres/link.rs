//! [`Link`]: how PostgreSQL is connected to.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Notification, Socket};
#[cfg(feature = "postgres-tls")]
use tokio_postgres_rustls::MakeRustlsConnect;

use super::told;
use crate::bus::BusError;

/// Where PostgreSQL is, and whom of its servers one trusts.
pub(super) struct Link<'a> {
    config: &'a Config,
    ended: &'a Arc<Notify>,
    #[cfg(feature = "postgres-tls")]
    tls: Option<MakeRustlsConnect>,
}

impl<'a> Link<'a> {
    /// `ended` is rung when one of its connections is lost.
    pub(super) fn new(config: &'a Config, ended: &'a Arc<Notify>) -> Result<Self, BusError> {
        Ok(Self {
            config,
            ended,
            #[cfg(feature = "postgres-tls")]
            tls: tls::connector(config)?,
        })
    }

    /// A connection, which is moved on by one of these tasks. What it is notified of is passed on.
    pub(super) async fn open(
        &self,
        heard: Option<mpsc::Sender<Notification>>,
        tasks: &mut Vec<AbortHandle>,
    ) -> Result<Client, BusError> {
        #[cfg(feature = "postgres-tls")]
        if let Some(tls) = &self.tls {
            let (client, connection) = self.config.connect(tls.clone()).await.map_err(told)?;
            tasks.push(drive(connection, heard, self.ended));
            return Ok(client);
        }
        let (client, connection) = self.config.connect(NoTls).await.map_err(told)?;
        tasks.push(drive(connection, heard, self.ended));
        Ok(client)
    }
}

fn drive<S>(
    mut connection: Connection<Socket, S>,
    heard: Option<mpsc::Sender<Notification>>,
    ended: &Arc<Notify>,
) -> AbortHandle
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = Arc::clone(ended);
    let driving = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let (AsyncMessage::Notification(notification), Some(heard)) = (message, &heard)
                && heard.send(notification).await.is_err()
            {
                break;
            }
        }
        ended.notify_one();
    });
    driving.abort_handle()
}

#[cfg(feature = "postgres-tls")]
mod tls {
    use std::sync::Arc;

    use rustls::crypto::ring;
    use rustls::{ClientConfig, RootCertStore};
    use tokio_postgres::Config;
    use tokio_postgres::config::SslMode;
    use tokio_postgres_rustls::MakeRustlsConnect;

    use crate::bus::BusError;

    /// With the certificates of the system; `None` where TLS is not wanted.
    pub(super) fn connector(config: &Config) -> Result<Option<MakeRustlsConnect>, BusError> {
        if config.get_ssl_mode() == SslMode::Disable {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(BusError::new)?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Some(MakeRustlsConnect::new(config)))
    }
}
