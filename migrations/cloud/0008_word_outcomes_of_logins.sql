-- What came of a login as a word for programs, beside the sentence for people: REFUSED, and why in `refusal`.
-- Rows from before have none.
alter table auth_log add column outcome text, add column refusal text;
