-- Both SQLite and PostgreSQL take this. Ids are given by the statements that insert: they count up.

CREATE TABLE IF NOT EXISTS people (
    id BIGINT PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    person BIGINT NOT NULL REFERENCES people (id),
    -- Of the key that pages know, for their sockets, and of the one that they do not, for HTTP.
    secret_hash TEXT NOT NULL,
    session_hash TEXT NOT NULL,
    -- Milliseconds since 1970, as all times here.
    expires BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS sessions_by_end ON sessions (expires);

-- The sockets that are open now. What a crash has left is forgotten when the server starts.
CREATE TABLE IF NOT EXISTS sockets (
    socket TEXT PRIMARY KEY,
    person BIGINT NOT NULL REFERENCES people (id)
);

CREATE TABLE IF NOT EXISTS follows (
    follower BIGINT NOT NULL REFERENCES people (id),
    followed BIGINT NOT NULL REFERENCES people (id),
    PRIMARY KEY (follower, followed)
);

CREATE INDEX IF NOT EXISTS followers ON follows (followed, follower);

CREATE TABLE IF NOT EXISTS posts (
    id BIGINT PRIMARY KEY,
    author BIGINT NOT NULL REFERENCES people (id),
    text TEXT NOT NULL,
    -- Made by whoever wrote it. A post that is sent again is stored once.
    key TEXT NOT NULL,
    time BIGINT NOT NULL,
    UNIQUE (author, key)
);

CREATE INDEX IF NOT EXISTS posts_of_author ON posts (author, id);

-- A conversation as each of its two people sees it: two rows with the same id.
CREATE TABLE IF NOT EXISTS chats (
    id BIGINT NOT NULL,
    person BIGINT NOT NULL REFERENCES people (id),
    partner BIGINT NOT NULL REFERENCES people (id),
    -- The last message that this person has read.
    seen BIGINT NOT NULL,
    PRIMARY KEY (person, partner)
);

CREATE INDEX IF NOT EXISTS chats_by_id ON chats (id);

CREATE TABLE IF NOT EXISTS messages (
    id BIGINT PRIMARY KEY,
    chat BIGINT NOT NULL,
    sender BIGINT NOT NULL REFERENCES people (id),
    recipient BIGINT NOT NULL REFERENCES people (id),
    text TEXT NOT NULL,
    key TEXT NOT NULL,
    time BIGINT NOT NULL,
    UNIQUE (sender, key)
);

CREATE INDEX IF NOT EXISTS messages_of_chat ON messages (chat, id);
