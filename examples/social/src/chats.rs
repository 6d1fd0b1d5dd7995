//! [`Chat`] and [`Message`]: what two people say to each other.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, SimpleObject};
use roomful::EventError;
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use crate::graphql::number;
use crate::live::{Io, room};
use crate::people::{PERSON, Person};
use crate::sessions::Session;
use crate::social::{News, Social, check_key, checked_text, key_used, now_ms};

const TEXT_MAX: usize = 2_000;
const CHATS_MAX: usize = 50;
const MESSAGES_MAX: usize = 50;

#[derive(Clone, SimpleObject, Serialize)]
pub(crate) struct Message {
    pub(crate) id: ID,
    chat: ID,
    from: String,
    to: String,
    text: String,
    /// Milliseconds since 1970.
    at: i64,
    key: String,
    /// Who may know of it.
    #[graphql(skip)]
    #[serde(skip)]
    pub(crate) people: [i64; 2],
}

/// A conversation as one of its two people sees it.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct Chat {
    id: ID,
    with: Person,
    last: Message,
    unread: i64,
}

#[ComplexObject]
impl Chat {
    /// The newest messages before that one, the oldest first.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        before: Option<ID>,
    ) -> Result<Vec<Message>, EventError> {
        let social = ctx.data_unchecked::<Arc<Social>>();
        social.messages(number(&self.id)?, before.as_ref().map_or(Ok(i64::MAX), number)?).await
    }
}

const MESSAGE: &str = "m.id AS message, m.chat, m.sender, m.recipient, m.text, m.key, m.time, \
    (SELECT handle FROM people WHERE id = m.sender) AS sent_by, \
    (SELECT handle FROM people WHERE id = m.recipient) AS sent_to";

impl FromRow<'_, AnyRow> for Message {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let id = |column| row.try_get::<i64, _>(column);
        Ok(Self {
            id: id("message")?.into(),
            chat: id("chat")?.into(),
            from: row.try_get("sent_by")?,
            to: row.try_get("sent_to")?,
            text: row.try_get("text")?,
            at: row.try_get("time")?,
            key: row.try_get("key")?,
            people: [id("sender")?, id("recipient")?],
        })
    }
}

impl FromRow<'_, AnyRow> for Chat {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let (last, unread) = (Message::from_row(row)?, row.try_get("unread")?);
        Ok(Self { id: last.chat.clone(), with: Person::from_row(row)?, last, unread })
    }
}

/// Stores a message and tells all sockets of both people. One that is there already is only given again.
pub(crate) async fn send(
    social: Arc<Social>,
    io: Io,
    me: Session,
    [to, text, key]: [String; 3],
) -> Result<Message, EventError> {
    let text = checked_text(&text, TEXT_MAX)?;
    check_key(&key)?;
    let _turn = social.turn.lock().await;
    let them = social.person(me.person, &to).await?;
    if them.id == me.person {
        return Err(EventError::new("self", "You cannot write to yourself."));
    }
    let (message, is_new) = social.add_message([me.person, them.id], &text, &key).await?;
    if message.text != text || message.to != to {
        return Err(key_used());
    }
    if is_new {
        io.to([room(me.person), room(them.id)]).emit("chatroom", &message);
        // Nobody may have subscribed.
        let _ = social.news.send(News::Message(Arc::new(message.clone())));
        tell(&social, &io, them.id, &me.handle).await?;
    }
    Ok(message)
}

/// Somebody has read all that the person of a handle wrote; their other sockets are to know.
pub(crate) async fn read(
    social: Arc<Social>,
    io: Io,
    me: Session,
    with: String,
) -> Result<bool, EventError> {
    let _turn = social.turn.lock().await;
    let partner = social.person(me.person, &with).await?;
    let update = "UPDATE chats SET seen = \
        (SELECT coalesce(max(id), 0) FROM messages WHERE chat = chats.id) \
        WHERE person = $1 AND partner = $2";
    let update = sqlx::query(update).bind(me.person).bind(partner.id);
    let is_there = update.execute(&*social.db).await?.rows_affected() > 0;
    if is_there {
        tell(&social, &io, me.person, &with).await?;
    }
    Ok(is_there)
}

/// Tells all sockets of a person what has become of one of their chats.
async fn tell(social: &Social, io: &Io, person: i64, with: &str) -> Result<(), EventError> {
    if let Some(Chat { id, last, unread, .. }) = social.chat(person, with).await? {
        let news = json!({ "chat": id, "with": with, "last": last, "unread": unread });
        io.to(room(person)).emit("updatedChat", news);
    }
    Ok(())
}

impl Social {
    /// The message when it is stored for good, and whether it is new.
    async fn add_message(
        &self,
        [me, them]: [i64; 2],
        text: &str,
        key: &str,
    ) -> Result<(Message, bool), EventError> {
        let insert = "INSERT INTO chats (id, person, partner, seen) \
            SELECT next.id, side.person, side.partner, 0 \
            FROM (SELECT coalesce(max(id), 0) + 1 AS id FROM chats) AS next, \
            (SELECT $1 AS person, $2 AS partner UNION ALL SELECT $2, $1) AS side \
            WHERE true ON CONFLICT (person, partner) DO NOTHING";
        sqlx::query(insert).bind(me).bind(them).execute(&*self.db).await?;
        let insert = "INSERT INTO messages (id, chat, sender, recipient, text, key, time) \
            VALUES ((SELECT coalesce(max(id), 0) + 1 FROM messages), \
            (SELECT id FROM chats WHERE person = $1 AND partner = $2), $1, $2, $3, $4, $5) \
            ON CONFLICT (sender, key) DO NOTHING";
        let insert = sqlx::query(insert).bind(me).bind(them).bind(text).bind(key).bind(now_ms());
        let added = insert.execute(&*self.db).await?.rows_affected() > 0;
        let select = format!("SELECT {MESSAGE} FROM messages m WHERE sender = $1 AND key = $2");
        let select = sqlx::query_as(&select).bind(me).bind(key);
        Ok((select.fetch_one(&*self.db).await?, added))
    }

    /// Somebody's chats, that with the newest message first.
    pub(crate) async fn chats(&self, me: i64) -> Result<Vec<Chat>, EventError> {
        self.chats_with(me, "").await
    }

    /// Somebody's chat with the person of a handle, once something was said.
    pub(crate) async fn chat(&self, me: i64, with: &str) -> Result<Option<Chat>, EventError> {
        Ok(self.chats_with(me, with).await?.pop())
    }

    async fn chats_with(&self, me: i64, with: &str) -> Result<Vec<Chat>, EventError> {
        let select = format!(
            "SELECT {MESSAGE}, {PERSON}, (SELECT count(*) FROM messages \
             WHERE chat = c.id AND recipient = $1 AND id > c.seen) AS unread \
             FROM chats c JOIN people p ON p.id = c.partner JOIN messages m \
             ON m.id = (SELECT max(id) FROM messages WHERE chat = c.id) \
             WHERE c.person = $1 AND ($2 = '' OR handle = $2) \
             ORDER BY m.id DESC LIMIT {CHATS_MAX}"
        );
        let select = sqlx::query_as(&select).bind(me).bind(with);
        Ok(select.fetch_all(&*self.db).await?)
    }

    async fn messages(&self, chat: i64, before: i64) -> Result<Vec<Message>, EventError> {
        let select = format!(
            "SELECT * FROM (SELECT {MESSAGE} FROM messages m WHERE chat = $1 AND id < $2 \
             ORDER BY id DESC LIMIT {MESSAGES_MAX}) AS newest ORDER BY message"
        );
        let select = sqlx::query_as(&select).bind(chat).bind(before);
        Ok(select.fetch_all(&*self.db).await?)
    }

    /// The other person of a conversation that somebody is in.
    pub(crate) async fn partner(&self, me: i64, handle: &str) -> Result<i64, EventError> {
        let select = "SELECT partner FROM chats JOIN people ON people.id = partner \
            WHERE person = $1 AND handle = $2";
        let select = sqlx::query_scalar(select).bind(me).bind(handle);
        let none = || EventError::new("no_chat", "You have no conversation with them.");
        select.fetch_optional(&*self.db).await?.ok_or_else(none)
    }
}
