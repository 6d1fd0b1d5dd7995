//! What can be asked and changed, in GraphQL, with the sockets of everybody in the context.

use std::sync::Arc;

use async_graphql::{Context, Error, ID, Object, Response, Schema, Subscription, Value};
use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use roomful::EventError;

use crate::chats::{self, Chat, Message};
use crate::follows;
use crate::live::Io;
use crate::people::Person;
use crate::posts::{self, Post};
use crate::sessions::Session;
use crate::social::{News, Social};

/// How deep a query may be, and how many fields it may have.
const DEPTH_MAX: usize = 8;
const COMPLEXITY_MAX: usize = 200;

pub(crate) type Api = Schema<Query, Mutation, Subscriptions>;

pub(crate) struct Query;
pub(crate) struct Mutation;
pub(crate) struct Subscriptions;

pub(crate) fn schema(social: Arc<Social>, io: Io) -> Api {
    Schema::build(Query, Mutation, Subscriptions)
        .data(social)
        .data(io)
        .limit_depth(DEPTH_MAX)
        .limit_complexity(COMPLEXITY_MAX)
        .finish()
}

fn social<'a>(ctx: &Context<'a>) -> &'a Arc<Social> {
    ctx.data_unchecked()
}

/// Who asks. Each request has that with it.
fn me<'a>(ctx: &Context<'a>) -> &'a Session {
    ctx.data_unchecked()
}

#[Object]
impl Query {
    async fn me(&self, ctx: &Context<'_>) -> Result<Person, EventError> {
        social(ctx).person(me(ctx).person, &me(ctx).handle).await
    }

    /// Others, by handle.
    async fn people(
        &self,
        ctx: &Context<'_>,
        search: Option<String>,
    ) -> Result<Vec<Person>, EventError> {
        social(ctx).people(me(ctx).person, &search.unwrap_or_default()).await
    }

    async fn person(&self, ctx: &Context<'_>, handle: String) -> Result<Person, EventError> {
        social(ctx).person(me(ctx).person, &handle).await
    }

    /// Own posts and those of people whom one follows, the newest first.
    async fn feed(&self, ctx: &Context<'_>, before: Option<ID>) -> Result<Vec<Post>, EventError> {
        let before = before.as_ref().map_or(Ok(i64::MAX), number)?;
        social(ctx).feed(me(ctx).person, before).await
    }

    async fn chats(&self, ctx: &Context<'_>) -> Result<Vec<Chat>, EventError> {
        social(ctx).chats(me(ctx).person).await
    }

    /// None before something was said.
    async fn chat(&self, ctx: &Context<'_>, with: String) -> Result<Option<Chat>, EventError> {
        let with = social(ctx).person(me(ctx).person, &with).await?;
        social(ctx).chat(me(ctx).person, &with.handle).await
    }
}

/// Once begun it is done, even if nobody waits for it any more: what is stored is told.
async fn change<T, F>(
    ctx: &Context<'_>,
    run: impl FnOnce(Arc<Social>, Io, Session) -> F,
) -> Result<T, EventError>
where
    F: Future<Output = Result<T, EventError>> + Send + 'static,
    T: Send + 'static,
{
    social(ctx).mutations.take(me(ctx).person)?;
    let io = ctx.data_unchecked::<Io>().clone();
    tokio::spawn(run(Arc::clone(social(ctx)), io, me(ctx).clone())).await?
}

#[Object]
impl Mutation {
    /// Without `follow` it is the other than now.
    async fn follow_unfollow_user(
        &self,
        ctx: &Context<'_>,
        handle: String,
        follow: Option<bool>,
    ) -> Result<Person, EventError> {
        change(ctx, |social, io, me| follows::follow(social, io, me, handle, follow)).await
    }

    async fn post(&self, ctx: &Context<'_>, text: String, key: String) -> Result<Post, EventError> {
        change(ctx, |social, _, me| posts::publish(social, me, text, key)).await
    }

    async fn send_message(
        &self,
        ctx: &Context<'_>,
        to: String,
        text: String,
        key: String,
    ) -> Result<Message, EventError> {
        change(ctx, |social, io, me| chats::send(social, io, me, [to, text, key])).await
    }

    /// Says whether there was a conversation.
    async fn read_chat(&self, ctx: &Context<'_>, with: String) -> Result<bool, EventError> {
        change(ctx, |social, io, me| chats::read(social, io, me, with)).await
    }
}

#[Subscription]
impl Subscriptions {
    /// All that are to or from who asks.
    async fn messages(&self, ctx: &Context<'_>) -> BoxStream<'static, Message> {
        let me = me(ctx).person;
        let mine = move |news| async move {
            match news {
                News::Message(message) if message.people.contains(&me) => Some((*message).clone()),
                _ => None,
            }
        };
        news(social(ctx)).filter_map(mine).boxed()
    }

    /// What is new in the feed of who asks.
    async fn feed_posts(&self, ctx: &Context<'_>) -> BoxStream<'static, Result<Post, Error>> {
        let (me, social) = (me(ctx).person, Arc::clone(social(ctx)));
        let all = news(&social);
        let mine = move |news| {
            let social = Arc::clone(&social);
            async move {
                match news {
                    News::Post(id, audience) if audience.contains(&me) => {
                        social.feed_post(me, id).await.map_err(Error::from).transpose()
                    }
                    _ => None,
                }
            }
        };
        all.filter_map(mine).boxed()
    }
}

/// Ends when who asks is too far behind, so that they know they have missed something.
fn news(social: &Social) -> BoxStream<'static, News> {
    let next = async |mut news: tokio::sync::broadcast::Receiver<News>| {
        let next = news.recv().await.ok()?;
        Some((next, news))
    };
    unfold(social.news.subscribe(), next).boxed()
}

pub(crate) fn number(id: &ID) -> Result<i64, EventError> {
    id.parse().map_err(|_| EventError::new("bad_id", "This id is none that was given to you."))
}

/// An answer whose errors have a code in their extensions, and say no more than they should.
pub(crate) fn coded(mut response: Response) -> Response {
    for error in &mut response.errors {
        let source = error.source::<EventError>();
        let code = source.map_or("bad_query", EventError::code).to_owned();
        if let Some(source) = source {
            if code == "internal_error" {
                eprintln!("{source}");
            }
            error.message = source.message().to_owned();
        }
        error.extensions.get_or_insert_default().set("code", Value::from(code));
    }
    response
}
