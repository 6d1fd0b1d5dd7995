CREATE TABLE IF NOT EXISTS states (
    -- Also the name of its document's room.
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- SHA-256 of the code that invites to its document: printf %s CODE | sha256sum
    code_hash TEXT NOT NULL
);

-- Who is logged in: a row for each state whose document that is.
CREATE TABLE IF NOT EXISTS sessions (
    -- SHA-256 of what the cookie has.
    id TEXT NOT NULL,
    state TEXT NOT NULL REFERENCES states (id),
    name TEXT NOT NULL,
    -- This and all other times: milliseconds since 1970.
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (id, state)
);

-- Each log-in deletes those that are past.
CREATE INDEX IF NOT EXISTS sessions_by_end ON sessions (expires_at);

CREATE TABLE IF NOT EXISTS documents (
    state TEXT PRIMARY KEY REFERENCES states (id),
    -- Of the event that has created it.
    key TEXT NOT NULL
);

-- What stands in a field is its last edit.
CREATE TABLE IF NOT EXISTS edits (
    state TEXT NOT NULL REFERENCES documents (state),
    -- Counts the edits of the document.
    version INTEGER NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    -- Made by whoever edits. An edit that is sent again is stored once.
    key TEXT NOT NULL,
    -- The version of the field that it took the place of, and what stood there.
    base INTEGER NOT NULL,
    before TEXT,
    by TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (state, version),
    UNIQUE (state, key)
);

CREATE INDEX IF NOT EXISTS edits_of_field ON edits (state, field, version);

-- The codes are ohio-demo, oregon-demo, texas-demo and vermont-demo.
INSERT INTO states (id, name, code_hash) VALUES
    ('ohio', 'Ohio', '8c7fb1b06fc28cbefbe1796e9f7571be2567f01dd704aae18aaf1a9370a77d0c'),
    ('oregon', 'Oregon', 'f07d5b808a668dacb50cd23369f121144651e8f143ec4985931e1d5285b14122'),
    ('texas', 'Texas', '4f287885035318ab43e9e5291b579960ee074c43d7bd4e1da4fa40c306ec3dcc'),
    ('vermont', 'Vermont', 'b77423f1b5e3c0d3b053ccd8d201a68c95bfe3c293c7e2254bd87078dc80b207')
ON CONFLICT (id) DO NOTHING;
