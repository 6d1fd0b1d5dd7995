CREATE TABLE IF NOT EXISTS states (
    -- Also the name of its document's room.
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- SHA-256 of the invitation code, as those of sessions in hexadecimal digits.
    code_hash TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS sessions (
    -- SHA-256 of what the cookie has.
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- This and all other times: milliseconds since 1970.
    expires_at INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS permissions (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    state TEXT NOT NULL REFERENCES states (id),
    PRIMARY KEY (session, state)
);

CREATE TABLE IF NOT EXISTS documents (
    state TEXT PRIMARY KEY REFERENCES states (id),
    -- How many edits it has had.
    version INTEGER NOT NULL DEFAULT 0,
    -- Of the event that has created it.
    key TEXT NOT NULL
);

-- What is there now, of fields that were edited.
CREATE TABLE IF NOT EXISTS fields (
    state TEXT NOT NULL REFERENCES documents (state),
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    -- That of the document after the last edit of the field.
    version INTEGER NOT NULL,
    by TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (state, field)
);

-- The last edits of each document. One that comes again is answered from here.
CREATE TABLE IF NOT EXISTS edits (
    state TEXT NOT NULL REFERENCES documents (state),
    version INTEGER NOT NULL,
    -- Made by whoever edits.
    key TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    base INTEGER NOT NULL,
    before TEXT NOT NULL,
    PRIMARY KEY (state, version),
    UNIQUE (state, key)
);
