-- What an agent says of itself beside its state; NULL where it says nothing. `tool`: which one it uses, or wants to use. `said_why`: why it is
-- in the state it said last, in its own words. `summary`: what it calls the conversation.
ALTER TABLE sessions ADD COLUMN tool TEXT CHECK (tool <> '');
ALTER TABLE sessions ADD COLUMN said_why TEXT CHECK (said_why <> '');
ALTER TABLE sessions ADD COLUMN summary TEXT CHECK (summary <> '');

-- The tool that began to be used, or was asked for, with that record.
ALTER TABLE signals ADD COLUMN tool TEXT CHECK (tool <> '');

-- They are shown, so a change of them is told of. (As in m0013.)
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'OLD.trouble,', 'OLD.trouble, OLD.tool, OLD.said_why, OLD.summary,'),
    'NEW.trouble,', 'NEW.trouble, NEW.tool, NEW.said_why, NEW.summary,')
WHERE type = 'trigger' AND name = 'session_updated';
PRAGMA writable_schema = RESET;
