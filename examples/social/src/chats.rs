//! [`Chat`] and [`Message`]: what two people say to each other.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, SimpleObject};
use roomful::EventError;
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use crate::drafts::{Draft, key_used};
use crate::graphql::{Change, number, social};
use crate::live::{Io, room};
use crate::people::{PERSON, Person, is_handle};
use crate::social::{News, Result, Social, now_ms};

const TEXT_MAX: usize = 2_000;
pub(crate) const CHATS_MAX: usize = 50;
const MESSAGES_MAX: usize = 50;
/// As far as unread messages are counted.
const UNREAD_MAX: usize = 100;

#[derive(Clone, SimpleObject, Serialize)]
pub(crate) struct Message {
    id: ID,
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
    #[graphql(complexity = "MESSAGES_MAX * child_complexity")]
    async fn messages(&self, ctx: &Context<'_>, before: Option<ID>) -> Result<Vec<Message>> {
        let before = before.as_ref().map_or(Ok(i64::MAX), number)?;
        social(ctx).messages(number(&self.id)?, before).await
    }
}

const MESSAGE: &str = "m.id AS message, m.chat, m.sender, m.recipient, m.text, m.key, m.time, \
    (SELECT handle FROM people WHERE id = m.sender) AS sent_by, \
    (SELECT handle FROM people WHERE id = m.recipient) AS sent_to";

impl FromRow<'_, AnyRow> for Message {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let number = |column| row.try_get::<i64, _>(column);
        let people = [number("sender")?, number("recipient")?];
        let (id, chat, at) = (number("message")?, number("chat")?, number("time")?);
        let (from, to) = (row.try_get("sent_by")?, row.try_get("sent_to")?);
        let (text, key) = (row.try_get("text")?, row.try_get("key")?);
        Ok(Self { id: id.into(), chat: chat.into(), from, to, text, at, key, people })
    }
}

impl FromRow<'_, AnyRow> for Chat {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let (last, with) = (Message::from_row(row)?, Person::from_row(row)?);
        Ok(Self { id: last.chat.clone(), with, last, unread: row.try_get("unread")? })
    }
}

/// Stores a message and tells all sockets of both people. One that is there already is only given again.
pub(crate) async fn send(by: Change, to: String, draft: [String; 2]) -> Result<Message> {
    let Change { social, io, me } = by;
    let draft = Draft::new(draft, TEXT_MAX)?;
    let mut told = social.turn.lock().await;
    let them = social.person(me.person, &to).await?;
    if them.id == me.person {
        return Err(EventError::new("self", "You cannot write to yourself."));
    }
    let message = social.add_message([me.person, them.id], &draft).await?;
    if message.text != draft.text || message.to != to {
        return Err(key_used());
    }
    tell_messages(&social, &io, &mut told.message).await?;
    Ok(message)
}

/// Tells all sockets of both people of what is stored and was not told.
async fn tell_messages(social: &Social, io: &Io, told: &mut i64) -> Result<()> {
    loop {
        let messages = social.messages_after(*told).await?;
        let is_all = messages.len() < MESSAGES_MAX;
        for message in messages {
            // All that may fail comes first, so nothing is told twice.
            let (id, [sender, recipient]) = (number(&message.id)?, message.people);
            let chat = social.chat(recipient, &message.from).await?;
            io.to([room(sender), room(recipient)]).emit("chatroom", &message);
            tell(io, recipient, &message.from, chat);
            // Nobody may have subscribed.
            let _ = social.news.send(News::Message(Arc::new(message)));
            *told = id;
        }
        if is_all {
            return Ok(());
        }
    }
}

/// Somebody has read all that the person of a handle wrote. Says whether anything was unread; their other
/// sockets are to know that.
pub(crate) async fn read(by: Change, with: String) -> Result<bool> {
    let (social, me) = (by.social, by.me.person);
    let _turn = social.turn.lock().await;
    let partner = social.person(me, &with).await?;
    let last = "(SELECT max(id) FROM messages WHERE chat = chats.id AND recipient = $1)";
    let update = format!(
        "UPDATE chats SET seen = {last} WHERE person = $1 AND partner = $2 AND seen < {last}"
    );
    let updated = sql!(query, &update, me, partner.id).execute(&social.db).await?;
    let is_new = updated.rows_affected() > 0;
    if is_new {
        let chat = social.chat(me, &with).await?;
        tell(&by.io, me, &with, chat);
    }
    Ok(is_new)
}

/// Tells all sockets of a person what has become of one of their chats, if it is one.
fn tell(io: &Io, person: i64, with: &str, chat: Option<Chat>) {
    if let Some(Chat { id, last, unread, .. }) = chat {
        let news = json!({ "chat": id, "with": with, "last": last, "unread": unread });
        io.to(room(person)).emit("updatedChat", news);
    }
}

impl Social {
    /// The message when it is stored for good.
    async fn add_message(&self, both: [i64; 2], draft: &Draft) -> Result<Message> {
        let ([me, them], Draft { text, key }) = (both, draft);
        let insert = "INSERT INTO chats (id, person, partner, seen) \
            SELECT next.id, side.person, side.partner, 0 \
            FROM (SELECT coalesce(max(id), 0) + 1 AS id FROM chats) AS next, \
            (SELECT $1 AS person, $2 AS partner UNION ALL SELECT $2, $1) AS side \
            WHERE NOT EXISTS (SELECT id FROM messages WHERE sender = $1 AND key = $3) \
            ON CONFLICT (person, partner) DO NOTHING";
        sql!(query, insert, me, them, key).execute(&self.db).await?;
        let insert = "INSERT INTO messages (id, chat, sender, recipient, text, key, time) \
            SELECT (SELECT coalesce(max(id), 0) + 1 FROM messages), id, $1, $2, $3, $4, $5 \
            FROM chats WHERE person = $1 AND partner = $2 \
            ON CONFLICT (sender, key) DO NOTHING";
        sql!(query, insert, me, them, text, key, now_ms()).execute(&self.db).await?;
        let select = format!("SELECT {MESSAGE} FROM messages m WHERE sender = $1 AND key = $2");
        Ok(sql!(query_as, &select, me, key).fetch_one(&self.db).await?)
    }

    /// The oldest behind that one, of all chats.
    async fn messages_after(&self, id: i64) -> Result<Vec<Message>> {
        let select = format!(
            "SELECT {MESSAGE} FROM messages m WHERE id > $1 ORDER BY id LIMIT {MESSAGES_MAX}"
        );
        Ok(sql!(query_as, &select, id).fetch_all(&self.db).await?)
    }

    /// Somebody's chats, that with the newest message first; or the one with the person of a handle.
    pub(crate) async fn chats(&self, me: i64, with: Option<&str>) -> Result<Vec<Chat>> {
        let select = format!(
            "SELECT {MESSAGE}, {PERSON}, (SELECT count(*) FROM (SELECT id FROM messages \
             WHERE chat = c.id AND recipient = $1 AND id > c.seen LIMIT {UNREAD_MAX}) AS news) AS unread \
             FROM chats c JOIN people p ON p.id = c.partner JOIN messages m \
             ON m.id = (SELECT max(id) FROM messages WHERE chat = c.id) \
             WHERE c.person = $1 AND ($2 = '' OR handle = $2) \
             ORDER BY m.id DESC LIMIT {CHATS_MAX}"
        );
        let with = with.unwrap_or_default();
        Ok(sql!(query_as, &select, me, with).fetch_all(&self.db).await?)
    }

    /// None before something was said.
    pub(crate) async fn chat(&self, me: i64, with: &str) -> Result<Option<Chat>> {
        Ok(self.chats(me, Some(with)).await?.pop())
    }

    async fn messages(&self, chat: i64, before: i64) -> Result<Vec<Message>> {
        let select = format!(
            "SELECT * FROM (SELECT {MESSAGE} FROM messages m WHERE chat = $1 AND id < $2 \
             ORDER BY id DESC LIMIT {MESSAGES_MAX}) AS newest ORDER BY message"
        );
        Ok(sql!(query_as, &select, chat, before).fetch_all(&self.db).await?)
    }

    /// The other person of a conversation that somebody is in.
    pub(crate) async fn partner(&self, me: i64, handle: &str) -> Result<i64> {
        let none = || EventError::new("no_chat", "You have no conversation with them.");
        if !is_handle(handle) {
            return Err(none());
        }
        let select = "SELECT partner FROM chats JOIN people ON people.id = partner \
            WHERE person = $1 AND handle = $2";
        sql!(query_scalar, select, me, handle).fetch_optional(&self.db).await?.ok_or_else(none)
    }
}
