-- What a session was given (speed, end, walled garden), so that a restarted agent knows whether that
-- is still right. Null where another agent gave it, or an agent of before.
alter table sessions add column granted blob;
