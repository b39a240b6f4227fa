-- The version of a customer when the file that made him was done with his row: it may have put him on another's account
-- or begun to bill him after it made him, and that is no change by anybody else. Null = a row from before.
alter table import_rows add column version bigint;
