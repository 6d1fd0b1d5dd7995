//! [`EventLog`]: a table as a log, and one of sessions.
//!
//! Rows get their numbers under a lock that is held until they are there, so who reads in the order of the numbers never
//! finds one later that belongs before what it has read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::cluster::{Body, Malformed, Offset, Packet, envelope};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::tables::Tables;
use super::{ATTACHMENT_ID, Notice, quoted, told};
use crate::bus::{BusError, Inlet, KeptSession};
use crate::log::{Entry, PAGE, Page, READ_WAIT, Read, Sealed, Store};
use crate::subscriptions::Subscriptions;

/// The time when a row was written, in microseconds since 1970.
const STAMP: &str = "(extract(epoch FROM created_at) * 1000000)::bigint";
/// What stands for the number of a row until that is known.
const ROW_ID: &str = "\u{1}row\u{1}";
/// Bytes that it may take in a notification, with its field.
pub(super) const ID_BYTES: usize = 32;
/// The lock of logs, whatever else the database has locks for.
const LOCK_CLASS: i32 = 0x726f_6f6d;

pub(super) struct EventLog {
    speaker: Arc<Client>,
    reader: Arc<Client>,
    inlet: Inlet,
    rung: Arc<Notify>,
    statements: Arc<Statements>,
}

struct Statements {
    append: Statement,
    last: Statement,
    first: Statement,
    ago: Statement,
    page: Statement,
    next: Statement,
    stamp: Statement,
    keep: Statement,
    take: Statement,
}

impl Statements {
    async fn prepare(speaker: &Client, reader: &Client, tables: &Tables) -> Result<Self, BusError> {
        let [events, sessions, attachments] =
            [&tables.events, &tables.sessions, &tables.attachments].map(|name| quoted(name));
        let sequence = |table: &str| format!("pg_get_serial_sequence('{}', 'id')", literal(table));
        // One statement: a node that stops in the middle of several would keep the lock from all others.
        let append = format!(
            "WITH said AS (SELECT * FROM unnest(\
                $1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::bytea[], $7::bytea[]\
             ) WITH ORDINALITY AS said (channel, notice, uid, nsp, number, payload, attachment, place)), \
             locked AS MATERIALIZED (SELECT pg_advisory_xact_lock({LOCK_CLASS}, hashtext('{}'))), \
             numbered AS MATERIALIZED (SELECT nextval({events_id}) AS id, \
                CASE WHEN attachment IS NOT NULL THEN nextval({attachments_id}) END AS attachment_id, said.* \
                FROM locked CROSS JOIN said ORDER BY place), \
             logged AS (INSERT INTO {events} (id, uid, nsp, number, payload) \
                SELECT id, uid, nsp, number, payload FROM numbered), \
             attached AS (INSERT INTO {attachments} (id, payload) \
                SELECT attachment_id, attachment FROM numbered WHERE attachment IS NOT NULL) \
             SELECT pg_notify(channel, replace(replace(notice, '{ROW_ID}', id::text), \
                '{ATTACHMENT_ID}', coalesce(attachment_id::text, ''))) \
             FROM (SELECT * FROM numbered ORDER BY id) AS ordered",
            literal(&events),
            events_id = sequence(&events),
            attachments_id = sequence(&attachments),
        );
        let read = "id, nsp, uid, number, CASE WHEN octet_length(payload) <= $1 THEN payload END";
        let reading = async |sql: String| reader.prepare(&sql).await.map_err(told);
        Ok(Self {
            append: speaker.prepare(&append).await.map_err(told)?,
            last: reading(format!("SELECT max(id) FROM {events} WHERE id <= $1")).await?,
            first: reading(format!("SELECT min(id) FROM {events} WHERE id > $1")).await?,
            ago: reading(format!(
                "SELECT min(id) FROM {events} WHERE created_at >= now() - $1 * interval '1 millisecond'"
            ))
            .await?,
            page: reading(format!(
                "SELECT {read} FROM {events} WHERE nsp = $2 AND id > $3 AND id <= $4 ORDER BY id LIMIT {PAGE}"
            ))
            .await?,
            // Of other namespaces only that they are there.
            next: reading(format!(
                "SELECT {}, {STAMP} FROM {events} WHERE id > $3 ORDER BY id LIMIT {PAGE}",
                read.replace("CASE WHEN", "nsp = ANY($2), CASE WHEN nsp = ANY($2) AND")
            ))
            .await?,
            stamp: reading(format!("SELECT max({STAMP}) FROM {events} WHERE id = $1")).await?,
            keep: speaker
                .prepare(&format!(
                    "INSERT INTO {sessions} (key, session, over_at) \
                     SELECT key, session, now() + millis * interval '1 millisecond' \
                     FROM unnest($1::bytea[], $2::text[], $3::int8[]) AS kept (key, session, millis) \
                     ON CONFLICT (key) DO UPDATE SET session = excluded.session, over_at = excluded.over_at"
                ))
                .await
                .map_err(told)?,
            take: speaker
                .prepare(&format!(
                    "DELETE FROM {sessions} WHERE key = ANY($1) \
                     RETURNING key, CASE WHEN over_at > now() THEN session END"
                ))
                .await
                .map_err(told)?,
        })
    }
}

/// A text within a literal of SQL.
fn literal(text: &str) -> String {
    text.replace('\'', "''")
}

/// Packets on their way into the log, a column each.
#[derive(Default)]
pub(super) struct Rows {
    channels: Vec<String>,
    notices: Vec<String>,
    uids: Vec<String>,
    namespaces: Vec<String>,
    numbers: Vec<i64>,
    payloads: Vec<Vec<u8>>,
    attachments: Vec<Option<Vec<u8>>>,
}

impl Rows {
    /// `packet` as it came from the cluster, `plain` as it goes onto the wire.
    pub(super) fn add(&mut self, packet: &Packet, plain: &Packet, notice: Notice) {
        let Notice { channel, text, attachment } = notice;
        let number = match &packet.body {
            Body::Logged(logged) => logged.number,
            _ => 0,
        };
        let Some(payload) = envelope::encode(plain) else {
            return;
        };
        self.channels.push(channel);
        // Into the JSON object that it is.
        let open = text.strip_suffix('}').unwrap_or(&text);
        self.notices.push(format!(r#"{open},"log":{ROW_ID}}}"#));
        self.uids.push(packet.from.to_string());
        self.namespaces.push(packet.namespace.to_string());
        self.numbers.push(number.cast_signed());
        self.payloads.push(payload.into());
        self.attachments.push(attachment);
    }

    pub(super) const fn len(&self) -> usize {
        self.channels.len()
    }
}

impl EventLog {
    pub(super) async fn prepare(
        speaker: &Arc<Client>,
        reader: &Arc<Client>,
        tables: &Tables,
        inlet: &Inlet,
    ) -> Result<Self, BusError> {
        Ok(Self {
            statements: Arc::new(Statements::prepare(speaker, reader, tables).await?),
            speaker: Arc::clone(speaker),
            reader: Arc::clone(reader),
            inlet: inlet.clone(),
            rung: Arc::default(),
        })
    }

    /// Rung when there is something new.
    pub(super) fn rung(&self) -> Arc<Notify> {
        Arc::clone(&self.rung)
    }

    pub(super) fn store(&self) -> Table {
        Table {
            client: Arc::clone(&self.reader),
            statements: Arc::clone(&self.statements),
            inlet: self.inlet.clone(),
            rung: self.rung(),
        }
    }

    pub(super) async fn append(&self, rows: &Rows) -> Result<(), BusError> {
        if rows.len() == 0 {
            return Ok(());
        }
        let Rows { channels, notices, uids, namespaces, numbers, payloads, attachments } = rows;
        let columns: [&(dyn ToSql + Sync); 7] =
            [channels, notices, uids, namespaces, numbers, payloads, attachments];
        self.speaker.execute(&self.statements.append, &columns).await.map(drop).map_err(told)
    }

    pub(super) async fn keep_sessions(&self, sessions: &[KeptSession]) -> Result<usize, BusError> {
        let mut unkept = 0;
        // The last of a key: a statement takes each only once.
        let mut latest = HashMap::new();
        for session in sessions {
            let Some(sealed) = Sealed::new(&session.key, &session.json) else {
                unkept += 1;
                continue;
            };
            let millis = i64::try_from(session.keeps.as_millis()).unwrap_or(i64::MAX);
            latest.insert(sealed.hash, (sealed.json, millis));
        }
        let keys: Vec<&[u8]> = latest.keys().map(<[u8; 32]>::as_slice).collect();
        let (jsons, times): (Vec<&str>, Vec<i64>) =
            latest.values().map(|(json, millis)| (json.as_str(), *millis)).unzip();
        let columns: [&(dyn ToSql + Sync); 3] = [&keys, &jsons, &times];
        self.speaker.execute(&self.statements.keep, &columns).await.map_err(told)?;
        Ok(unkept)
    }

    pub(super) async fn take_sessions(
        &self,
        keys: &[String],
    ) -> Result<Vec<Option<String>>, BusError> {
        let hashes: Vec<_> = keys.iter().map(|key| Sealed::hash(key)).collect();
        let wanted: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
        let rows = self.speaker.query(&self.statements.take, &[&wanted]).await.map_err(told)?;
        let mut found = HashMap::new();
        for row in rows {
            let (hash, json): (Vec<u8>, Option<String>) =
                (row.try_get(0).map_err(told)?, row.try_get(1).map_err(told)?);
            found.extend(json.map(|json| (hash, json)));
        }
        // Of two who ask for one, one gets it.
        let take = |(key, hash): (&String, &[u8; 32])| {
            found.remove(&hash[..]).and_then(|json| Sealed::open(key, &json))
        };
        Ok(keys.iter().zip(&hashes).map(take).collect())
    }
}

/// The table of events, as it is read by one connection.
pub(super) struct Table {
    client: Arc<Client>,
    statements: Arc<Statements>,
    inlet: Inlet,
    rung: Arc<Notify>,
}

impl Table {
    fn bytes_max(&self) -> i32 {
        i32::try_from(self.inlet.limits().payload_bytes_max).unwrap_or(i32::MAX)
    }

    async fn number(&self, statement: &Statement, at: i64) -> Result<Option<Offset>, BusError> {
        let row = self.client.query_one(statement, &[&at]).await.map_err(told)?;
        Ok(row.try_get::<_, Option<i64>>(0).map_err(told)?.map(offset))
    }

    /// Those of `nsp` and the rest, as the columns stand in the statement.
    fn read(&self, row: &Row, is_meant: bool, column: usize) -> Result<Read, BusError> {
        if !is_meant {
            return Ok(Ok(None));
        }
        let namespace: &str = row.try_get(1).map_err(told)?;
        let number: i64 = row.try_get(3).map_err(told)?;
        let payload: Option<&[u8]> = row.try_get(column).map_err(told)?;
        let Some(payload) = payload.map(Bytes::copy_from_slice) else {
            return Ok(Err(Malformed::TooLarge));
        };
        let packet = envelope::decode_in(Some(namespace), &payload, self.inlet.limits());
        Ok(packet.map(|packet| Some(Entry { packet, number: number.cast_unsigned() })))
    }

    async fn read_behind(
        &self,
        behind: Offset,
        namespaces: &Subscriptions,
    ) -> Result<Page, BusError> {
        let names = namespaces.names();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let rows = self
            .client
            .query(&self.statements.next, &[&self.bytes_max(), &names, &id(behind)])
            .await
            .map_err(told)?;
        let has_more = rows.len() == PAGE;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            let is_meant: bool = row.try_get(4).map_err(told)?;
            entries.push((offset(row.try_get(0).map_err(told)?), self.read(row, is_meant, 5)?));
        }
        let stamp = rows.last().map(|row| row.try_get::<_, i64>(6)).transpose().map_err(told)?;
        let stamp = stamp.unwrap_or(0).cast_unsigned();
        Ok(Page { entries, has_more, has_lost: false, stamp })
    }
}

impl Store for Table {
    async fn last(&mut self, upto: Option<Offset>) -> Result<Offset, BusError> {
        let last = self.number(&self.statements.last, upto.map_or(i64::MAX, id)).await?;
        Ok(last.unwrap_or_default())
    }

    async fn first(&mut self, behind: Offset) -> Result<Option<Offset>, BusError> {
        self.number(&self.statements.first, id(behind)).await
    }

    async fn ago(&mut self, past: Duration) -> Result<Offset, BusError> {
        let millis = past.as_millis() as f64;
        let row = self.client.query_one(&self.statements.ago, &[&millis]).await.map_err(told)?;
        match row.try_get::<_, Option<i64>>(0).map_err(told)? {
            Some(first) => Ok(offset(first)),
            None => Ok(self.last(None).await?.after()),
        }
    }

    async fn stamp(&mut self, of: Offset) -> Result<u64, BusError> {
        let row = self.client.query_one(&self.statements.stamp, &[&id(of)]).await.map_err(told)?;
        let stamp: Option<i64> = row.try_get(0).map_err(told)?;
        Ok(stamp.unwrap_or(0).cast_unsigned())
    }

    async fn page(
        &mut self,
        namespace: &str,
        from: Offset,
        upto: Offset,
    ) -> Result<Page, BusError> {
        let params: [&(dyn ToSql + Sync); 4] =
            [&self.bytes_max(), &namespace, &id(from.before()), &id(upto)];
        let rows = self.client.query(&self.statements.page, &params).await.map_err(told)?;
        let has_more = rows.len() == PAGE;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            entries.push((offset(row.try_get(0).map_err(told)?), self.read(row, true, 4)?));
        }
        Ok(Page { entries, has_more, ..Page::default() })
    }

    async fn next(&mut self, behind: Offset, namespaces: &Subscriptions) -> Result<Page, BusError> {
        let mut page = self.read_behind(behind, namespaces).await?;
        if page.entries.is_empty() {
            // In time for what nobody has told of: it is of other namespaces.
            let _ = timeout(READ_WAIT, self.rung.notified()).await;
            page = self.read_behind(behind, namespaces).await?;
        }
        // Who was stopped for long may have been overtaken by what makes room.
        if !page.entries.is_empty() && behind != Offset::BEGINNING {
            page.has_lost = self.stamp(behind).await? == 0;
        }
        Ok(page)
    }
}

/// The number of a row is the first of an offset.
fn offset(id: i64) -> Offset {
    Offset::new(u64::try_from(id).unwrap_or(0), 0)
}

fn id(offset: Offset) -> i64 {
    i64::try_from(offset.major()).unwrap_or(i64::MAX)
}
