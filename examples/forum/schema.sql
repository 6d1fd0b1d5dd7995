CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    about TEXT NOT NULL
);

-- With AUTOINCREMENT an id is never used again: pages ask for all that is above the last they have.
CREATE TABLE IF NOT EXISTS posts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL REFERENCES topics (id),
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    -- Made by whoever wrote it. A post that is sent again is stored once.
    key TEXT NOT NULL UNIQUE,
    -- Milliseconds since 1970.
    time INTEGER NOT NULL
);

CREATE INDEX IF NOT EXISTS posts_of_topic ON posts (topic, id);

INSERT INTO topics (id, title, about) VALUES
    (1, 'Welcome', 'Say hello, and where you come from.'),
    (2, 'Show and tell', 'What have you built? What went wrong on the way?'),
    (3, 'Questions', 'There are no stupid ones.')
ON CONFLICT (id) DO NOTHING;
