//! What can be asked and changed, in GraphQL, with the sockets of everybody in the context.

use std::future::ready;
use std::sync::Arc;

use async_graphql::{Context, Error, ID, Object, Response, Schema, Subscription, Value};
use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use roomful::EventError;
use tokio::spawn;
use tokio::sync::broadcast::Receiver;

use crate::chats::{self, CHATS_MAX, Chat, Message};
use crate::live::Io;
use crate::people::{self, PEOPLE_MAX, Person};
use crate::posts::{self, POSTS_MAX, Post};
use crate::sessions::Session;
use crate::social::{News, Result, Social, too_fast};

/// How deep a query may be, and how many fields its answer may have where all lists are as long as they
/// may be. What is looked for in the database counts as some more of them.
const DEPTH_MAX: usize = 8;
const COMPLEXITY_MAX: usize = 1_000;
const LOOK: usize = 9;
/// A subscription comes again and again.
const EACH: usize = 50;

pub(crate) type Api = Schema<Query, Mutation, Subscriptions>;

pub(crate) struct Query;
pub(crate) struct Mutation;
pub(crate) struct Subscriptions;

/// Each request brings a [`Session`] and a [`Social`] with it, and what may change something an [`Io`].
pub(crate) fn schema() -> Api {
    let schema = Schema::build(Query, Mutation, Subscriptions);
    schema.limit_depth(DEPTH_MAX).limit_complexity(COMPLEXITY_MAX).finish()
}

pub(crate) fn social<'a>(ctx: &Context<'a>) -> &'a Arc<Social> {
    ctx.data_unchecked()
}

fn me(ctx: &Context<'_>) -> i64 {
    ctx.data_unchecked::<Session>().person
}

#[Object]
impl Query {
    #[graphql(complexity = "LOOK + child_complexity")]
    async fn me(&self, ctx: &Context<'_>) -> Result<Person> {
        let Session { person, handle, .. } = ctx.data_unchecked();
        social(ctx).person(*person, handle).await
    }

    /// Others, by handle.
    #[graphql(complexity = "PEOPLE_MAX * child_complexity")]
    async fn people(&self, ctx: &Context<'_>, search: Option<String>) -> Result<Vec<Person>> {
        social(ctx).people(me(ctx), &search.unwrap_or_default()).await
    }

    #[graphql(complexity = "LOOK + child_complexity")]
    async fn person(&self, ctx: &Context<'_>, handle: String) -> Result<Person> {
        social(ctx).person(me(ctx), &handle).await
    }

    /// Own posts and those of people whom one follows, the newest first.
    #[graphql(complexity = "POSTS_MAX * child_complexity")]
    async fn feed(&self, ctx: &Context<'_>, before: Option<ID>) -> Result<Vec<Post>> {
        social(ctx).feed(me(ctx), before.as_ref().map_or(Ok(i64::MAX), number)?).await
    }

    #[graphql(complexity = "CHATS_MAX * child_complexity")]
    async fn chats(&self, ctx: &Context<'_>) -> Result<Vec<Chat>> {
        social(ctx).chats(me(ctx), None).await
    }

    /// None before something was said.
    #[graphql(complexity = "LOOK + child_complexity")]
    async fn chat(&self, ctx: &Context<'_>, with: String) -> Result<Option<Chat>> {
        let with = social(ctx).person(me(ctx), &with).await?;
        social(ctx).chat(me(ctx), &with.handle).await
    }
}

/// Who changes something, and all that this takes.
pub(crate) struct Change {
    pub(crate) social: Arc<Social>,
    pub(crate) io: Io,
    pub(crate) me: Session,
}

/// Once begun it is done, in a task of its own: what is stored is told, even if nobody waits any more.
fn change(ctx: &Context<'_>) -> Result<Change> {
    social(ctx).changes.take(me(ctx)).map_err(too_fast)?;
    let (io, me): (&Io, &Session) = (ctx.data_unchecked(), ctx.data_unchecked());
    Ok(Change { social: Arc::clone(social(ctx)), io: io.clone(), me: me.clone() })
}

#[Object]
impl Mutation {
    /// Without `follow` it is the other than now.
    async fn follow_unfollow_user(
        &self,
        ctx: &Context<'_>,
        handle: String,
        follow: Option<bool>,
    ) -> Result<Person> {
        spawn(people::follow(change(ctx)?, handle, follow)).await?
    }

    async fn post(&self, ctx: &Context<'_>, text: String, key: String) -> Result<Post> {
        spawn(posts::publish(change(ctx)?, [text, key])).await?
    }

    async fn send_message(
        &self,
        ctx: &Context<'_>,
        to: String,
        text: String,
        key: String,
    ) -> Result<Message> {
        spawn(chats::send(change(ctx)?, to, [text, key])).await?
    }

    /// Says whether anything was unread.
    async fn read_chat(&self, ctx: &Context<'_>, with: String) -> Result<bool> {
        spawn(chats::read(change(ctx)?, with)).await?
    }
}

#[Subscription]
impl Subscriptions {
    /// All that are to or from who asks.
    #[graphql(complexity = "EACH * child_complexity")]
    async fn messages(&self, ctx: &Context<'_>) -> BoxStream<'static, Message> {
        let me = me(ctx);
        let mine = move |news| match news {
            News::Message(message) if message.people.contains(&me) => {
                ready(Some((*message).clone()))
            }
            _ => ready(None),
        };
        news(social(ctx)).filter_map(mine).boxed()
    }

    /// What is new in the feed of who asks.
    #[graphql(complexity = "EACH * child_complexity")]
    async fn feed_posts(&self, ctx: &Context<'_>) -> BoxStream<'static, Result<Post, Error>> {
        let (me, social) = (me(ctx), Arc::clone(social(ctx)));
        let all = news(&social);
        let mine = move |news| {
            let social = Arc::clone(&social);
            async move {
                let News::Post(id, audience) = news else { return None };
                let post = audience.contains(&me).then(|| social.feed_post(me, id))?.await;
                post.map_err(Error::from).transpose()
            }
        };
        all.filter_map(mine).boxed()
    }
}

/// Ends when who asks is too far behind, so that they know they have missed something.
fn news(social: &Social) -> BoxStream<'static, News> {
    let next = async |mut news: Receiver<News>| {
        let next = news.recv().await.ok()?;
        Some((next, news))
    };
    unfold(social.news.subscribe(), next).boxed()
}

pub(crate) fn number(id: &ID) -> Result<i64> {
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
