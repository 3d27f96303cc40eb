-- When an agent tries again what went wrong (`delay`), where its screen says how long it waits; NULL where it does not.
ALTER TABLE sessions ADD COLUMN delay_until TEXT CHECK (delay_until GLOB '*Z' AND length(delay_until) = 24);

-- It is shown, so a change of it is told of. (As in m0013.)
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'OLD.delay,', 'OLD.delay, OLD.delay_until,'),
    'NEW.delay,', 'NEW.delay, NEW.delay_until,')
WHERE type = 'trigger' AND name = 'session_updated';
PRAGMA writable_schema = RESET;
