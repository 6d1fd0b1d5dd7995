//! [`Address`]: where a Redis is, or who knows that.

use ::redis::{Client, IntoConnectionInfo as _, ProtocolVersion};

#[cfg(feature = "redis-sentinel")]
use super::sentinels::Sentinels;
use crate::bus::BusError;

#[derive(Clone)]
pub(crate) enum Address {
    One(Box<Client>),
    #[cfg(feature = "redis-sentinel")]
    Master(Box<Sentinels>),
}

impl Address {
    /// Of a URL, such as `redis://user:password@host:6379/0`, `rediss:` over TLS, or `redis+sentinel://host/name`.
    pub(crate) fn parse(url: &str) -> Result<Self, BusError> {
        #[cfg(feature = "redis-tls")]
        if url.starts_with("rediss") {
            crate::provider::choose();
        }
        if let Some((scheme, _rest)) = url.split_once("+sentinel://") {
            #[cfg(feature = "redis-sentinel")]
            return Ok(Self::Master(Box::new(Sentinels::parse(scheme, _rest)?)));
            #[cfg(not(feature = "redis-sentinel"))]
            return Err(BusError::new(format!(
                "{scheme}+sentinel: needs the feature redis-sentinel"
            )));
        }
        let info = url.into_connection_info()?;
        // What is heard comes between answers, which only the newer protocol of Redis 6 allows.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(Self::One(Box::new(Client::open(info.set_redis_settings(settings))?)))
    }

    /// The Redis that is there now.
    pub(crate) async fn client(&self) -> Result<Client, BusError> {
        match self {
            Self::One(client) => Ok((**client).clone()),
            #[cfg(feature = "redis-sentinel")]
            Self::Master(sentinels) => sentinels.master().await,
        }
    }
}
