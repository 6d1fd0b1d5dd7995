//! How long a socket may stay, as users say it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::api::namespace::Namespace;
use crate::api::socket::Socket;
use crate::namespace::erased;
use crate::namespace::expiry::OnExpire;

impl<A, U> Socket<A, U> {
    /// Lets the socket stay for that long from now on: as its token is good for. Afterwards the function
    /// of [`Namespace::on_expire`] is asked, or, if there is none, the client is taken out of the
    /// namespace: it sees `io server disconnect`, [`on_disconnect`](Namespace::on_disconnect) is told
    /// [`Reason::Expired`](crate::Reason::Expired), and nobody gets the socket back.
    ///
    /// A later call takes the place of an earlier one, whichever is longer. The end is up to 20 ms late,
    /// and what the client sends until then is handled. A socket that
    /// [comes back](crate::Builder::recovery) has what is left of its time; it goes on while the client is
    /// away.
    ///
    /// A client renews its token by an event of its own:
    ///
    /// ```
    /// # use std::time::Duration;
    /// use roomful::{Beginning, EventError, Hello, Refusal, Server, Socket};
    ///
    /// struct Token { good_for: Duration }
    /// # fn check(_: &str) -> Option<Token> { Some(Token { good_for: Duration::from_secs(60) }) }
    ///
    /// // What the client gives as `auth`, which is always an object: io({ auth: { token } })
    /// #[derive(serde::Deserialize)]
    /// struct Login { token: String }
    ///
    /// async fn enter(hello: Hello) -> Result<Token, Refusal> {
    ///     let login: Login = hello.auth()?;
    ///     check(&login.token).ok_or_else(|| Refusal::new("who are you?"))
    /// }
    ///
    /// async fn begin(me: Socket<(), Token>) {
    ///     // Who comes back has what is left of its time, and its old data.
    ///     if !matches!(me.recovery(), Beginning::Recovered { .. }) {
    ///         me.expire_after(me.data().good_for);
    ///     }
    /// }
    ///
    /// async fn renew(me: Socket<(), Token>, token: String) -> Result<(), EventError> {
    ///     let token = check(&token).ok_or_else(|| EventError::new("token", "not good"))?;
    ///     me.expire_after(token.good_for);
    ///     Ok(())
    /// }
    ///
    /// let io = Server::new();
    /// let chat = io.of("/chat").connect(enter);
    /// chat.on_connect(begin);
    /// chat.on("renew", renew);
    /// ```
    pub fn expire_after(&self, life: Duration) {
        self.core.expire_after(life);
    }

    /// Lets the socket stay for as long as its client likes, whatever
    /// [`expire_after`](Self::expire_after) said before.
    pub fn keep(&self) {
        self.core.expiry.set(None);
    }

    /// How long the socket may still stay; `None` for as long as its client likes.
    pub fn expires_in(&self) -> Option<Duration> {
        self.core.expires_in()
    }
}

impl<A: Send + Sync + 'static, U: Send + Sync + 'static> Namespace<A, U> {
    /// Calls an async function with each socket whose [time](Socket::expire_after) is over. If it, or
    /// anybody meanwhile, calls [`expire_after`](Socket::expire_after) again, or [`keep`](Socket::keep),
    /// the socket stays; if that has not happened when the function returns, or after
    /// [`expiry_timeout`](crate::Builder::expiry_timeout), it leaves. Until then its events are handled
    /// as ever. A second function takes the place of the first. As handlers do, it counts for sockets
    /// that come later.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use roomful::{CallError, Server, Socket};
    /// # let io = Server::new();
    /// # fn good_for(_: &str) -> Duration { Duration::ZERO }
    /// io.on_expire(async |me: Socket| {
    ///     let token: Result<String, CallError> = me.call("renew", ()).await;
    ///     if let Ok(token) = token {
    ///         me.expire_after(good_for(&token));
    ///     }
    /// });
    /// ```
    pub fn on_expire<F, Fut>(&self, expire: F) -> &Self
    where
        F: Fn(Socket<A, U>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let expire: OnExpire = Arc::new(move |core| {
            // Before anything of the user's runs: that may renew it, and then there is nothing to end.
            let question = core.expiry.question();
            let (asked, core) =
                (expire(Socket::of_event(core, "on_expire", "expire", None)?), Arc::clone(core));
            Some(erased::unasked(async move {
                asked.await;
                core.lapse(question);
            }))
        });
        self.put("on_expire", |table| table.on_expire.replace(expire))
    }
}
