-- What a customer's fields were before a file changed them, and as what it left them, sealed, as his password is among
-- them: so that it can be undone. Null = the row changed nobody, or more than his own fields, or is from before, or was
-- undone.
alter table import_rows add column before_sealed bytea;
